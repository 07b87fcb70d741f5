/* What a prompt looks like, in one pass over its bytes: features.py says what that is, and does the same with arrays where
 * this was not compiled; a test holds that both find the same (tests/routing/test_features.py).
 *
 * Of a prompt of a line, nearly all of the time that arrays take goes into their calls.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Told to Python, so that a library that was made of an older source is not used; features.py has it too. */
enum { VERSION = 1 };
enum { OTHER = 11, CLASSES = 12, DIGIT = 3, FOREIGN = 4, PIECE = 4, SIGNS = 18, MOST_BYTES = 1 << 20 };
enum { LOWER = 1, UPPER = 2, NEWLINE = 5, MATHS = 6, CODE = 7, ASKING = 8, COMMA = 9, QUOTE = 10, SPACE = 0 };
static const uint32_t BASE = 0x9E3779B1u;

static const char *const CODE_WORDS[] = {"def ", "```", "return", "import ", "function", "class ", NULL};
static const char *const EXAMPLE_WORDS[] = {"Answer", "A:", "Example", NULL};
static unsigned char class_of[256], is_in_word[256], lower_of[256];

static uint32_t mixed(uint32_t hash)
{
    hash = (hash ^ (hash >> 15)) * 0x2C1B3C6Du;
    hash = (hash ^ (hash >> 12)) * 0x297A2D39u;
    return hash ^ (hash >> 15);
}

/* How often a word stands in a text, one after the other; no more than `most` are looked for. */
static int times(const char *text, Py_ssize_t size, const char *word, int most)
{
    size_t length = strlen(word);
    const char *at = text, *end = text + size;
    int found = 0;
    while (found < most && (size_t)(end - at) >= length && (at = memchr(at, *word, (size_t)(end - at) - length + 1)) != NULL) {
        int is_here = !memcmp(at, word, length);
        found += is_here;
        at += is_here ? length : 1;
    }
    return found;
}

/* Places that a hash may have; a slot that is free holds nothing. */
typedef struct {
    uint32_t *keys;
    int32_t *values;             /* 0: free */
    uint32_t mask;
} Table;

static int make_table(Table *table, Py_ssize_t entries)
{
    uint32_t slots = 16;
    while (slots < 2 * (uint32_t)entries)
        slots *= 2;
    table->mask = slots - 1;
    table->keys = malloc(slots * sizeof *table->keys);
    table->values = calloc(slots, sizeof *table->values);
    return table->keys != NULL && table->values != NULL;
}

static void free_table(Table *table)
{
    free(table->keys);
    free(table->values);
}

/* The slot of a key: its own, or the free one that it may take. */
static uint32_t slot_of(const Table *table, uint32_t key)
{
    uint32_t slot = (key * 0x85EBCA6Bu) >> 7 & table->mask;
    while (table->values[slot] && table->keys[slot] != key)
        slot = (slot + 1) & table->mask;
    return slot;
}

static int distinct(const uint32_t *hashes, Py_ssize_t count)
{
    Table table = {NULL, NULL, 0};
    int found = make_table(&table, count) ? 0 : -1;
    for (Py_ssize_t i = 0; i < count && found >= 0; i++) {
        uint32_t slot = slot_of(&table, hashes[i]);
        if (!table.values[slot]) {
            table.keys[slot] = hashes[i];
            table.values[slot] = 1;
            found++;
        }
    }
    free_table(&table);
    return found;
}

typedef struct {
    Py_ssize_t words, numbers, counts[CLASSES];
} Counted;

/* Words' hashes to `words`, those of signs between them to `between`; how many of these. */
static Py_ssize_t read_words(const unsigned char *text, Py_ssize_t size, uint32_t *words, uint32_t *between, Counted *counted)
{
    Py_ssize_t signs = 0;
    memset(counted, 0, sizeof *counted);
    for (Py_ssize_t at = 0; at < size;) {
        unsigned char class = class_of[text[at]];
        if (!is_in_word[text[at]]) {
            counted->counts[class]++;
            if (class != SPACE && class != NEWLINE)
                between[signs++] = mixed(text[at] * BASE + 7u);
            at++;
            continue;
        }
        uint32_t hash = 0, power = 1;
        counted->numbers += class == DIGIT;
        for (; at < size && is_in_word[text[at]]; at++, power *= BASE) {
            counted->counts[class_of[text[at]]]++;
            hash += (lower_of[text[at]] + 1u) * power;
        }
        words[counted->words++] = mixed(hash);
    }
    return signs;
}

static void read_pieces(const unsigned char *text, Py_ssize_t size, uint32_t *pieces)
{
    const uint32_t second = BASE, third = BASE * BASE, fourth = BASE * BASE * BASE;
    for (Py_ssize_t at = 0; at + PIECE <= size; at++)
        pieces[at] = mixed(lower_of[text[at]] + 1u + (lower_of[text[at + 1]] + 1u) * second
                           + (lower_of[text[at + 2]] + 1u) * third + (lower_of[text[at + 3]] + 1u) * fourth + 3u);
}

/* Choices as of a question in a test: a line that begins with a capital and a dot or a bracket. */
static int count_choices(const char *text, Py_ssize_t size)
{
    int found = 0;
    for (Py_ssize_t at = 0; at + 3 <= size; at++)
        found += text[at] == '\n' && text[at + 1] >= 'A' && text[at + 1] <= 'Z' && (text[at + 2] == '.' || text[at + 2] == ')');
    return found;
}

/* As SIGNS in features.py. */
static void put_signs(float *signs, double letters, const char *text, Py_ssize_t bytes, const Counted *counted, int different)
{
    const Py_ssize_t *counts = counted->counts;
    double size = bytes > 1 ? (double)bytes : 1.0, count = counted->words > 1 ? (double)counted->words : 1.0;
    int code = 0, examples = 0;
    for (int i = 0; CODE_WORDS[i] != NULL; i++)
        code += times(text, bytes, CODE_WORDS[i], 1);
    for (int i = 0; EXAMPLE_WORDS[i] != NULL; i++)
        examples += times(text, bytes, EXAMPLE_WORDS[i], INT32_MAX);
    double in_words = (double)(counts[LOWER] + counts[UPPER] + counts[DIGIT] + counts[FOREIGN]);
    const double found[SIGNS] = {
        log1p(letters), log1p(count), in_words / count / 10, (double)counts[DIGIT] / size * 5,
        (double)counts[UPPER] / size * 5, (double)counts[NEWLINE] / size * 20, log1p((double)counts[NEWLINE]),
        (double)counts[MATHS] / size * 10, (double)counts[CODE] / size * 10, (double)counts[FOREIGN] / size,
        (double)counts[ASKING] / size * 30, (double)counts[COMMA] / size * 20, (double)counts[QUOTE] / size * 20,
        different / count, log1p((double)counted->numbers), log1p(counts[NEWLINE] ? count_choices(text, bytes) : 0),
        log1p(code), log1p(examples)};
    for (int i = 0; i < SIGNS; i++)
        signs[i] = (float)found[i];
}

PyDoc_STRVAR(look_doc,
    "look(raw, letters) -> (words, pieces, signs): hashes and signs of form, as arrays' bytes; see features.look.");

static PyObject *look(PyObject *module, PyObject *arguments)
{
    const char *text;
    Py_ssize_t size;
    double letters;
    float signs[SIGNS];
    Counted counted;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#d", &text, &size, &letters))
        return NULL;
    if (size > MOST_BYTES) {
        PyErr_SetString(PyExc_ValueError, "the text is too long");
        return NULL;
    }
    Py_ssize_t pieces = size >= PIECE ? size - PIECE + 1 : 0;
    PyObject *read = PyBytes_FromStringAndSize(NULL, pieces * (Py_ssize_t)sizeof(uint32_t));
    /* A word and the byte behind it are two bytes at least: no more of both than this. */
    uint32_t *words = malloc((size_t)(size + 1) * sizeof *words), *between = malloc((size_t)(size + 1) * sizeof *between);
    PyObject *told = NULL, *found = NULL;
    if (read != NULL && words != NULL && between != NULL) {
        Py_ssize_t others = read_words((const unsigned char *)text, size, words, between, &counted);
        Py_ssize_t pairs = counted.words > 1 ? counted.words - 1 : 0;
        int different = distinct(words, counted.words);
        told = different < 0 ? NULL : PyBytes_FromStringAndSize(
            NULL, (counted.words + others + pairs) * (Py_ssize_t)sizeof(uint32_t));
        if (told != NULL) {
            uint32_t *to = (uint32_t *)(void *)PyBytes_AsString(told);
            memcpy(to, words, (size_t)counted.words * sizeof *to);
            to += counted.words;
            memcpy(to, between, (size_t)others * sizeof *to);
            to += others;
            for (Py_ssize_t i = 0; i < pairs; i++)
                to[i] = mixed(words[i] * 0x85EBCA6Bu + words[i + 1] + 11u);
            read_pieces((const unsigned char *)text, size, (uint32_t *)(void *)PyBytes_AsString(read));
            put_signs(signs, letters, text, size, &counted, different);
            found = Py_BuildValue("(OOy#)", told, read, (const char *)signs, (Py_ssize_t)sizeof signs);
        }
    }
    free(words);
    free(between);
    Py_XDECREF(told);
    Py_XDECREF(read);
    return found != NULL || PyErr_Occurred() ? found : PyErr_NoMemory();
}

/* The hashes that occur among some, in the order of their first, to `keys` and how often to `counts`; how many. */
static Py_ssize_t count_up(Table *table, const uint32_t *hashes, Py_ssize_t count, uint32_t bits, uint32_t half, uint32_t *keys,
                           int32_t *counts, Py_ssize_t known)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        uint32_t key = (hashes[i] & bits) | half, slot = slot_of(table, key);
        if (!table->values[slot]) {
            table->keys[slot] = key;
            table->values[slot] = (int32_t)known + 1;
            keys[known] = key;
            counts[known++] = 0;
        }
        counts[table->values[slot] - 1]++;
    }
    return known;
}

static void make_unit(double *weights, Py_ssize_t from, Py_ssize_t to)
{
    double square = 0;
    for (Py_ssize_t i = from; i < to; i++)
        square += weights[i] * weights[i];
    double length = sqrt(square);
    for (Py_ssize_t i = from; i < to && length > 0; i++)
        weights[i] /= length;
}

static PyObject *sketched(const Py_buffer *words, const Py_buffer *pieces, const Py_buffer *rare, uint32_t width)
{
    Py_ssize_t word_count = words->len / 4, piece_count = pieces->len / 4, most = word_count + piece_count;
    uint32_t half = rare->len < INT32_MAX ? (uint32_t)(rare->len / 8) : 0, bits = half - 1;
    if (!half || half & bits || !width || width & (width - 1) || width > half || most > 4 * MOST_BYTES) {
        PyErr_SetString(PyExc_ValueError, "it is no table, or no width of one");
        return NULL;
    }
    Table table = {NULL, NULL, 0};
    PyObject *places = NULL, *weights = NULL, *found = NULL;
    uint32_t *keys = malloc((size_t)(most + 1) * sizeof *keys);
    int32_t *counts = malloc((size_t)(most + 1) * sizeof *counts);
    if (keys != NULL && counts != NULL && make_table(&table, most)) {
        Py_ssize_t of_words = count_up(&table, words->buf, word_count, bits, 0, keys, counts, 0);
        Py_ssize_t all = count_up(
            &table, pieces->buf, piece_count, bits, half, keys, counts, of_words);
        places = PyBytes_FromStringAndSize(NULL, all * (Py_ssize_t)sizeof(uint32_t));
        weights = PyBytes_FromStringAndSize(NULL, all * (Py_ssize_t)sizeof(double));
        if (places != NULL && weights != NULL) {
            uint32_t *place = (uint32_t *)(void *)PyBytes_AsString(places);
            double *weight = (double *)(void *)PyBytes_AsString(weights);
            for (Py_ssize_t i = 0; i < all; i++) {
                float how_rare;
                memcpy(&how_rare, (const char *)rare->buf + 4 * (size_t)keys[i], 4);
                weight[i] = log1p(counts[i]) * (double)how_rare;
                place[i] = (keys[i] & (width - 1)) + (i < of_words ? 0 : width);
            }
            make_unit(weight, 0, of_words);
            make_unit(weight, of_words, all);
            found = Py_BuildValue("(OO)", places, weights);
        }
    }
    free(keys);
    free(counts);
    free_table(&table);
    Py_XDECREF(places);
    Py_XDECREF(weights);
    return found != NULL || PyErr_Occurred() ? found : PyErr_NoMemory();
}

PyDoc_STRVAR(sketch_doc,
    "sketch(words, pieces, rare, width) -> (places, weights), as arrays' bytes; see features.sketch.");

static PyObject *sketch(PyObject *module, PyObject *arguments)
{
    Py_buffer words, pieces, rare;
    unsigned int width;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y*y*I", &words, &pieces, &rare, &width))
        return NULL;
    PyObject *found = sketched(&words, &pieces, &rare, width);
    PyBuffer_Release(&words);
    PyBuffer_Release(&pieces);
    PyBuffer_Release(&rare);
    return found;
}

static PyMethodDef methods[] = {
    {"look", look, METH_VARARGS, look_doc}, {"sketch", sketch, METH_VARARGS, sketch_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_looks", "What a prompt looks like.", -1, methods, NULL, NULL, NULL, NULL};

static void put_class(int class, const char *bytes)
{
    for (; *bytes; bytes++)
        class_of[(unsigned char)*bytes] = (unsigned char)class;
}

PyMODINIT_FUNC PyInit__looks(void)
{
    memset(class_of, OTHER, sizeof class_of);
    put_class(SPACE, " \t\r");
    put_class(LOWER, "abcdefghijklmnopqrstuvwxyz");
    put_class(UPPER, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    put_class(DIGIT, "0123456789");
    put_class(NEWLINE, "\n");
    put_class(MATHS, "+-*/=^<>\\$%");
    put_class(CODE, "{}[]();_#@|&");
    put_class(ASKING, "?");
    put_class(COMMA, ",");
    put_class(QUOTE, "'\"`");
    for (int i = 0; i < 256; i++) {
        if (i >= 128)
            class_of[i] = FOREIGN;
        is_in_word[i] = i == '_' || (class_of[i] >= LOWER && class_of[i] <= FOREIGN);
        lower_of[i] = (unsigned char)(i >= 'A' && i <= 'Z' ? i + 32 : i);
    }
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddIntConstant(module, "VERSION", VERSION) < 0)
        Py_CLEAR(module);
    return module;
}
