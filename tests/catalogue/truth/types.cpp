// llama.cpp's own choice of types, asked for any list of tensors: its source is included whole, with a model that has
// only what the choice looks at. Built and run by make.py.
#include "llama-quant.cpp"

#include <iostream>
#include <sstream>

alignas(64) static char memory[sizeof(llama_model) + 1024];

static void answer(llama_model * model, std::vector<ggml_tensor> & tensors, const std::string & recipe, int ftype, bool matrix) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = (llama_ftype) ftype;
    quantize_state_impl state(*model, &params);
    state.has_imatrix = matrix;
    std::vector<tensor_metadata> metadata(tensors.size());
    for (size_t i = 0; i < tensors.size(); i++) {
        metadata[i].name = tensors[i].name;
    }
    init_quantize_state_counters(state, metadata);
    const ggml_type usual = llama_ftype_get_default_type((llama_ftype) ftype);
    std::cout << "recipe " << recipe << " " << matrix << "\n";
    for (size_t i = 0; i < tensors.size(); i++) {
        const bool changes = tensor_allows_quantization(&params, model->arch, &tensors[i]);
        std::cout << tensors[i].name << " "
                  << (changes ? ggml_type_name(llama_tensor_get_type(state, &params, &tensors[i], usual, metadata[i])) : "kept") << "\n";
    }
}

int main() {
    // model ARCHITECTURE HEADS KV_HEADS EXPERTS LAYERS IS_70B / tensor NAME N0 N1 N2 / recipe NAME FTYPE / end
    llama_model * model = reinterpret_cast<llama_model *>(memory);
    std::vector<ggml_tensor> tensors;
    std::vector<std::pair<std::string, int>> recipes;
    std::string line, kind, name;
    while (std::getline(std::cin, line)) {
        std::istringstream in(line);
        in >> kind;
        if (kind == "recipe") {
            int ftype;
            in >> name >> ftype;
            recipes.emplace_back(name, ftype);
        } else if (kind == "model") {
            memset(memory, 0, sizeof memory);
            tensors.clear();
            uint32_t heads, kv_heads, experts, layers;
            int is_70b;
            in >> name >> heads >> kv_heads >> experts >> layers >> is_70b;
            model->arch = llm_arch_from_string(name);
            model->type = is_70b ? LLM_TYPE_70B : LLM_TYPE_UNKNOWN;
            model->hparams.n_layer_all = layers;
            model->hparams.n_expert = experts;
            for (uint32_t i = 0; i < layers; i++) {
                model->hparams.n_head_arr[i] = heads;
                model->hparams.n_head_kv_arr[i] = kv_heads;
            }
        } else if (kind == "tensor") {
            ggml_tensor tensor = {};
            in >> name >> tensor.ne[0] >> tensor.ne[1] >> tensor.ne[2];
            tensor.ne[3] = 1;
            tensor.type = GGML_TYPE_F16;
            strncpy(tensor.name, name.c_str(), sizeof tensor.name - 1);
            tensors.push_back(tensor);
        } else if (kind == "end") {
            std::sort(tensors.begin(), tensors.end(), [](const ggml_tensor & a, const ggml_tensor & b) {
                int la = -1, lb = -1;
                sscanf(a.name, "blk.%d.", &la);
                sscanf(b.name, "blk.%d.", &lb);
                return la != lb ? la < lb : strcmp(a.name, b.name) < 0;
            });
            for (const auto & [recipe, ftype] : recipes) {
                answer(model, tensors, recipe, ftype, false);
                answer(model, tensors, recipe, ftype, true);
            }
            std::cout << "end" << std::endl;
        }
    }
}
