"""Words that a reader of the field knows: families, makers, suffixes of variants, and names that are no model's."""

from __future__ import annotations

import functools

from weighbridge.catalogue import load

_FAMILIES = (
    "llama qwen qwq gemma gemini gpt chatgpt claude opus sonnet haiku mistral mixtral ministral codestral "
    "devstral magistral pixtral "
    "voxtral deepseek glm chatglm kimi minimax mimo phi yi falcon olmo olmoe molmo nemotron granite command "
    "aya jamba "
    "starcoder starcoder2 stablelm smollm smollm2 smollm3 smolvlm smolvlm2 internlm internvl baichuan ernie hunyuan "
    "bloom mpt dbrx grok pythia tinyllama zephyr vicuna alpaca wizardlm wizardcoder orca hermes dolphin solar exaone "
    "sarvam bonsai helios ltx flux sora veo whisper cogvideox wan muse codellama codegemma medgemma paligemma "
    "codeqwen gpt-oss gpt-neo gpt-j palm bert roberta t5 flan-t5 lfm2 ling ring bielik apertus eurollm teuken arctic "
    "cohere-command aquila xgen snowflake-arctic seed-oss longcat step trinity kanana hyperclova "
    "olmoe idefics idefics2 idefics3 llava bakllava tinyllava moshi croissantllm leolm openelm blackmamba "
    "redpajama openllama gpt-neox gptj santacoder codegen codegen2 incoder galactica chinchilla lamda palmyra "
    "jurassic xverse telechat aquilachat codegeex recurrentgemma shieldgemma txgemma t5gemma embeddinggemma "
    "functiongemma deepcoder deepscaler openthinker qvq tulu tülu guanaco airoboros openorca openhermes "
    "openchat stablecode decilm decicoder internlm2 cogvlm cogvlm2 cogagent cogview moondream florence-2 fuyu "
    "nvlm minitron hymba zamba zamba2 rwkv seamlessm4t nllb musicgen xtts sdxl hidream hunyuanvideo "
    "hunyuanimage cogvideo opensora open-sora omnigen bloomz mt0 phixtral wizardmath llemma deepseekmath "
    "opencoder magicoder codet5 stablebeluga freewilly gpt4all openassistant h2ogpt cerebras-gpt longllama "
    "longchat mythomax miqu xwin sauerkrautlm discolm occiglot seallm seallms sea-lion sealion openhathi "
    "gpt-sw3 jais acegpt pangu doubao vicuna deephermes openbiollm biomistral meditron med42 saullm fingpt "
    "bloomberggpt sqlcoder nexusraven xlam parakeet-tdt kat-dev kat-coder dots.llm1 skywork starcoderbase "
    "codeqwen yalm plamo elyza swallow-llm tinyswallow llm-jp minimax-text minimax-m1 stable-diffusion "
    "nomic-embed all-minilm minilm bge-m3 gte-qwen2 openreasoning acereason phi-silica stablevicuna lfm2.5 rnj "
    "intellect-1 intellect-2 intellect-3 marin zaya1 ouro mobilellm granite-code smollm-v dolly-v2 oasst "
    "openflamingo blip-2 instructblip minigpt-4 qwen-vl internvit kosmos-2 ovis2 aria-ui aimv2 fastvlm d-fine "
    "glm-4v glm-edge megrez nanbeige telespeech ming-lite ming-omni bailing opt koala platypus cosmos chameleon "
    "gopher goliath amber dolly viking poro gorilla starling crystal emu lynx jua surya mochi janus bark kokoro "
    "orpheus sailor typhoon swallow minerva claire lucie cogito ming aria ovis genie canary parakeet nova "
    "pegasus apollo"
).split()
# Words for whole lines of models: lists of others' names hold them, but alone they are everyday words.
_NEED_MORE = frozenset(
    "command muse step ring ling orca dolphin solar falcon granite hermes zephyr bloom alpaca trinity arctic "
    "wan flux "
    "palm opus sonnet haiku helios bonsai ltx seed north trinity laguna inkling moonlight kimi aya north a.x "
    "veo phi yi "
    "bert t5 whisper ernie jamba pythia mellum hy3 hy4 sora salamandra "
    "opt koala platypus cosmos chameleon gopher goliath amber dolly viking poro gorilla starling crystal emu "
    "lynx jua surya mochi janus bark kokoro orpheus sailor typhoon swallow minerva claire lucie cogito ming "
    "aria ovis genie canary parakeet nova pegasus apollo".split()
)

SUFFIXES = frozenset(
    "instruct chat base it pt pro flash mini max ultra large small medium nano micro tiny coder code math vl "
    "vision omni audio "
    "thinking reasoning think turbo plus preview lite air next scout maverick behemoth dense moe exp experimental "
    "distill distilled dev lightning super speciale terminus embedding reranker guard ocr vlm live research "
    "fast heavy high low sft dpo rl zero r v oss cloud edge voice speech kontext hybrid hd xl xxl cyber "
    "uncensored latest "
    "r+ a+".split()
)
PACKINGS = frozenset(
    "gguf ggml awq gptq exl2 exl3 mlx fp8 fp16 bf16 fp4 nvfp4 mxfp4 int4 int8 bnb onnx safetensors q4 q8 4bit 8bit"
    " w4a16 w8a8".split()
)

TOOLS = frozenset(
    "vllm sglang ollama llama.cpp transformers tensorrt-llm exllamav2 exllamav3 mlx-lm lmdeploy ktransformers".split()
)
"""Programs that run models: with a version they have releases and speed-ups too."""

MAKERS = frozenset(
    "meta meta's facebook google google's deepmind alibaba alibaba's microsoft microsoft's nvidia nvidia's openai "
    "openai's anthropic anthropic's xai mistralai cohere cohere's ibm ibm's apple apple's amazon tencent tencent's "
    "baidu baidu's bytedance bytedance's xiaomi xiaomi's zhipu zhipu's z.ai moonshot moonshot's stepfun databricks "
    "prismml ai2 allenai eleutherai tii liquid liquidai huawei huawei's samsung lg naver upstage servicenow "
    "salesforce "
    "black-forest-labs huggingface hugging nous nousresearch 01.ai the from by and or of with for its new our "
    "their this "
    "that both meet hello welcome why how today either neither unlike like while although if when since using".split()
)
"""Makers and small words: they go before a name and are no part of it."""

HOUSES = frozenset(
    "deepseek mistral minimax qwen cohere baichuan skywork stepfun snowflake mosaicml mosaic together stability "
    "reka ai21 "
    "adept writer arcee lmsys stanford berkeley princeton meituan kuaishou kwai ant inclusionai iflytek sensetime "
    "kunlun "
    "bigscience cerebras groq perplexity sakana rakuten ntt fujitsu sber yandex lighton h2o.ai abacus deepcogito "
    "zyphra "
    "deci amd intel poolside kakao krutrim sarvam g42 inception core42 modelbest tsinghua rednote bilibili oppo vivo "
    "honor weibo zoom adobe runway replicate fireworks nebius baseten openrouter lmstudio unsloth ollama "
    "midjourney character inflection spotify netflix uber linkedin twitter telegram oracle sap siemens".split()
)
"""Makers and hosts whose name is not their model's: introduced, or releasing something, it is still theirs."""

APPS = frozenset("chatgpt gpt claude gemini grok copilot".split())
"""Lines of models that are services too: one that the page gives no version of is the service."""

NO_MODELS = frozenset(
    "january february march april may june july august september october november december jan feb mar apr jun "
    "jul aug sep "
    "sept oct nov dec monday tuesday wednesday thursday friday saturday sunday q1 q2 q3 q4 h1 h2 "
    "apache mit bsd cc cc-by cc-by-nc cc-by-sa agpl gpl lgpl mpl pytorch tensorflow jax keras "
    "python rust node java cuda rocm windows linux ubuntu macos android ios debian chrome "
    "rtx gtx geforce radeon nvidia amd intel apple tesla a100 h100 h200 b200 b100 gb200 gh200 l40s l40 l4 t4 "
    "v100 mi300x mi300 mi325x silicon studio wmt gddr ddr lpddr hbm pcie "
    "mi250 ascend tpu xeon ryzen epyc macbook mac hopper blackwell ampere ada volta jetson orin "
    "dgx raspberry pi snapdragon "
    "iphone pixel galaxy table figure fig section chapter part step phase week day month year version release "
    "top round series number no level tier stage tip note appendix update page issue pr line lines point points "
    "option rank place about around over under nearly roughly some all only with more less up least most just "
    "than and "
    "gpu gpus cpu cpus ram vram ssd api apis sdk url http https json yaml html pdf csv sql "
    "mmlu gpqa humaneval mbpp math gsm8k aime livecodebench swe-bench bbh hellaswag arc ifeval mt-bench arena "
    "lmarena "
    "arxiv github gitlab reddit twitter huggingface discord slack youtube linkedin "
    "i we you he she it they a an the this that these those in on at by for from of to is are was were be has "
    "have had "
    "do does did can could will would should may might must as or but if so yes not what why how when where "
    "which who "
    "open closed free new old fast slow big small high low mid late early next last first second third total active "
    "eu us uk usa un ai ml llm llms vlm nlp agi rag kv lora qlora sft rlhf dpo grpo ppo int fp bf "
    "articles article annex recital act regulation directive iso rfc pep cve usd eur covid ces neurips icml iclr acl "
    "tensorrt trt-llm deepspeed megatron-lm megatron langchain llamaindex openvino gguf ggml awq "
    "gptq exl2 mlx "
    "fp8 fp16 bf16 fp4 nvfp4 mxfp4 int4 int8 tokens token parameters params context experts layers heads "
    "license licence "
    "system systems attention mode generation example scenario category module question rule lesson method approach"
    " chapter stage tip idea reason myth mistake challenge task "
    "iec ieee ansi nist everything nothing anything something everyone "
    "agplv3 gplv3 gplv2 lgplv3 cifar cifar-10 cifar-100 imagenet mnist wikitext squad kubernetes postgresql "
    "postgres redis mysql "
    "mongodb sqlite docker nginx django react angular typescript swift kotlin php perl ruby elasticsearch "
    "kafka "
    "terraform fedora centos rhel suse office excel boeing airbus playstation xbox o(n) covid-19 utf-8 sha-256 "
    "http/2 3d 2d 4k 8k x86 x64 arm64 zero-shot few-shot "
    "languages language turboquant flashattention rope yarn gqa mla mha swiglu adamw muon loft mamba-2 gated "
    "llama-server llama-cli llama-stack llama-index llama-factory llama-bench llama-swap localllama hf-hub "
    "attention system command-line "
    "laion refinedweb fineweb dolma oscar slimpajama commoncrawl "
    "index soc dense nvfp4+bf16 "
    "eagle medusa mtp lookahead "
    "openmdw openrail openrail-m bigcode gemini-api responses chat completions".split()
)
"""Words that stand before numbers and are no model's name."""


@functools.cache
def families() -> frozenset[str]:
    """Names of families, in lower case, without their versions: those of the catalogue, and more."""
    found = set(_FAMILIES)
    for variant in load():
        for name in (variant.family, variant.release):
            word = name.lower().split()[0].rstrip("0123456789.")
            if len(word) > 1:
                found.add(word)
                found.add(word.partition("-")[0] if not word.startswith(("gpt", "k-", "ui-")) else word)
    return (
        (frozenset(found) | TOOLS)
        - {"v", "a", "e", "multilingual", "code", "intern", "open", "jina", "nomic", "e5", "big", "bge"}
        - frozenset({"k", "ui", "north", "step", "seed", "tulu"})
    )


@functools.cache
def makers() -> frozenset[str]:
    """Names of organisations on the hub, in lower case."""
    return frozenset(variant.repository.partition("/")[0].lower() for variant in load()) | MAKERS | HOUSES


def needs_more(word: str) -> bool:
    """Whether a family's name is an everyday word too, so that alone it names no model."""
    return word in _NEED_MORE or word in TOOLS
