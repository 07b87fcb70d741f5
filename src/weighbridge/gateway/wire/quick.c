/* Heads of requests and answers, and requests' bodies, in their plain form, read in one pass; and what an answer used.
 *
 * What is read here is a part of what heads.py and body.py accept: every form that is rare, odd or wrong is left to them
 * (None), and they alone refuse. So a mistake here can be that something plain is read slowly, and a test holds that
 * nothing is read otherwise (tests/gateway/wire/test_quick.py).
 */
#include "quick.h"
#include <limits.h>

enum { MOST_TARGET = 8192 };

/* RFC 9110, section 5.6.2: the lower-case form of a byte of a token, 0 where it is none. */
static unsigned char token[256];
/* Section 5.5: bytes that may stand in a value. */
static unsigned char in_value[256];

Names passed_on, not_passed_back;

static int same(const char *text, Py_ssize_t size, const char *lower)
{
    Py_ssize_t length = (Py_ssize_t)strlen(lower);
    if (size != length)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if ((text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]) != lower[i])
            return 0;
    return 1;
}

/* Digits alone, at most 15 of them; -1 where it is anything else. */
static long long number(const char *text, Py_ssize_t size)
{
    long long value = 0;
    if (size < 1 || size > 15)
        return -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

int is_among(const Names *names, const char *name, int size)
{
    for (int i = names->first[size]; i < names->first[size + 1]; i++)
        if (!memcmp(names->name[i], name, (size_t)size))
            return 1;
    return 0;
}

int read_lines(Cursor *cursor, Header *headers, Framing *framing, int is_request)
{
    int count = 0;
    const char *at = cursor->at, *end = cursor->end;
    memset(framing, 0, sizeof *framing);
    framing->length = -1;
    for (;;) {
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') {
            cursor->at = at + 2;
            return count;
        }
        if (count == MOST_HEADERS)
            return -1;
        Header *header = &headers[count];
        char *lower = header->name;
        const char *line = at;
        int size = 0;
        while (at < end && size < MOST_NAME && token[(unsigned char)*at])
            lower[size++] = (char)token[(unsigned char)*at++];
        if (!size || at >= end || *at != ':')
            return -1;
        at++;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        const char *value = at;
        while (at < end && in_value[(unsigned char)*at])
            at++;
        Py_ssize_t value_bytes = at - value;
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n')
            return -1;
        /* llhttp keeps blanks at the end. */
        if (value_bytes && (at[-1] == ' ' || at[-1] == '\t'))
            return -1;
        at += 2;
        switch (lower[0]) {
        case 'h':
            framing->has_host |= size == 4 && !memcmp(lower, "host", 4);
            break;
        case 'c':
            if (size == 14 && !memcmp(lower, "content-length", 14)) {
                framing->length = number(value, value_bytes);
                if (framing->length < 0)
                    return -1;
            } else if (size == 10 && !memcmp(lower, "connection", 10)) {
                framing->is_closing = same(value, value_bytes, "close");
                framing->is_kept = same(value, value_bytes, "keep-alive");
                if (!framing->is_closing && !framing->is_kept)
                    return -1;
            }
            break;
        case 't':
            if (size == 17 && !memcmp(lower, "transfer-encoding", 17)) {
                if (is_request || !same(value, value_bytes, "chunked"))
                    return -1;
                framing->is_chunked = 1;
            }
            break;
        case 'e':
            if (is_request && size == 6 && !memcmp(lower, "expect", 6))
                return -1;
            break;
        case 'u':
            if (size == 7 && !memcmp(lower, "upgrade", 7))
                return -1;
            break;
        case 'p':
            /* llhttp takes it for Connection. */
            if (size == 16 && !memcmp(lower, "proxy-connection", 16))
                return -1;
            break;
        }
        header->name_bytes = size;
        header->value = value;
        header->value_bytes = value_bytes;
        header->line = line;
        header->line_bytes = at - line;
        for (int i = 0; i < count; i++)
            if (headers[i].name_bytes == size && !memcmp(headers[i].name, lower, (size_t)size))
                return -1;
        count++;
    }
}

/* The headers' values by their names. */
static PyObject *as_values(const Header *headers, int count)
{
    PyObject *values = PyDict_New();
    for (int i = 0; i < count && values != NULL; i++) {
        PyObject *name = PyBytes_FromStringAndSize(headers[i].name, headers[i].name_bytes);
        PyObject *value = PyBytes_FromStringAndSize(headers[i].value, headers[i].value_bytes);
        if (name == NULL || value == NULL || PyDict_SetItem(values, name, value) < 0)
            Py_CLEAR(values);
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    return values;
}

static Cursor after_head(const char *data, Py_ssize_t size)
{
    Cursor cursor = {data, data + (size < MOST_HEAD ? size : MOST_HEAD)};
    return cursor;
}

static PyObject *none(PyObject *values)
{
    Py_XDECREF(values);
    Py_RETURN_NONE;
}

static PyObject *failed(PyObject *values)
{
    Py_XDECREF(values);
    return NULL;
}

Py_ssize_t put_passed_on(const Header *headers, int count, char *to)
{
    char *begin = to;
    for (int i = 0; i < count; i++) {
        const Header *each = &headers[i];
        if (!is_among(&passed_on, each->name, each->name_bytes))
            continue;
        memcpy(to, each->name, (size_t)each->name_bytes);
        to += each->name_bytes;
        memcpy(to, ": ", 2);
        memcpy(to + 2, each->value, (size_t)each->value_bytes);
        to += 2 + each->value_bytes;
        memcpy(to, "\r\n", 2);
        to += 2;
    }
    return to - begin;
}

Py_ssize_t put_passed_back(const Header *headers, int count, const Names *hidden, char *to)
{
    char *begin = to;
    for (int i = 0; i < count; i++) {
        if (is_among(&not_passed_back, headers[i].name, headers[i].name_bytes)
            || (hidden != NULL && is_among(hidden, headers[i].name, headers[i].name_bytes)))
            continue;
        memcpy(to, headers[i].line, (size_t)headers[i].line_bytes);
        to += headers[i].line_bytes;
    }
    return to - begin;
}

static const char *const METHODS[] = {"POST ", "GET ", "PUT ", "HEAD ", "DELETE ", "OPTIONS ", "PATCH ", NULL};

PyDoc_STRVAR(read_request_doc,
    "read_request(data) -> (end, method, target, path, values, length, is_last, passed_on) of a plain head at the\n"
    "beginning of data, or None. `end` is where its body begins, `length` that of its body, None where none is stated.");

int scan_request(const char *data, Py_ssize_t size, RequestHead *head)
{
    Cursor cursor = after_head(data, size);
    head->method_bytes = 0;
    for (int i = 0; METHODS[i] != NULL && !head->method_bytes; i++) {
        Py_ssize_t length = (Py_ssize_t)strlen(METHODS[i]);
        if (cursor.end - cursor.at > length && !memcmp(cursor.at, METHODS[i], (size_t)length))
            head->method_bytes = length - 1;
    }
    if (!head->method_bytes)
        return 0;
    const char *target = cursor.at + head->method_bytes + 1, *at = target, *query = NULL;
    if (at < cursor.end && *at != '/')
        return 0;
    while (at < cursor.end && *at >= '!' && *at <= '~' && *at != '#' && at - target <= MOST_TARGET) {
        if (*at == '?' && query == NULL)
            query = at;
        at++;
    }
    head->target = target;
    head->target_bytes = at - target;
    head->path_bytes = (query ? query : at) - target;
    if (at - target > MOST_TARGET || cursor.end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11))
        return 0;
    cursor.at = at + 11;
    head->count = read_lines(&cursor, head->headers, &head->framing, 1);
    head->bytes = cursor.at - data;
    return head->count >= 0 && head->framing.has_host;
}

static PyObject *read_request(PyObject *module, PyObject *argument)
{
    char *data;
    Py_ssize_t size;
    RequestHead head;
    char lines[MOST_HEAD_BYTES];
    (void)module;
    if (PyBytes_AsStringAndSize(argument, &data, &size) < 0)
        return NULL;
    if (!scan_request(data, size, &head))
        Py_RETURN_NONE;
    PyObject *values = as_values(head.headers, head.count);
    PyObject *path = PyBytes_FromStringAndSize(head.target, head.path_bytes);
    PyObject *whole = path;
    if (head.path_bytes == head.target_bytes)
        Py_XINCREF(path);
    else
        whole = PyBytes_FromStringAndSize(head.target, head.target_bytes);
    PyObject *length = head.framing.length < 0 ? Py_None : PyLong_FromLongLong(head.framing.length);
    if (head.framing.length < 0)
        Py_INCREF(Py_None);
    if (values == NULL || path == NULL || whole == NULL || length == NULL) {
        Py_XDECREF(values);
        Py_XDECREF(path);
        Py_XDECREF(whole);
        Py_XDECREF(length);
        return NULL;
    }
    Py_ssize_t lines_bytes = put_passed_on(head.headers, head.count, lines);
    return Py_BuildValue("(ny#NNNNNy#)", head.bytes, data, head.method_bytes, whole, path, values, length,
                         PyBool_FromLong(head.framing.is_closing), lines, lines_bytes);
}

PyDoc_STRVAR(read_answer_doc,
    "read_answer(data) -> (end, status, values, lines, passed_back, length, is_chunked, can_keep) of a plain head at the\n"
    "beginning of data, or None. `lines` are its headers as they came, `length` is None where none is stated.");

int scan_answer(const char *data, Py_ssize_t size, AnswerHead *head)
{
    Cursor cursor = after_head(data, size);
    if (size < 17 || memcmp(data, "HTTP/1.1 ", 9) || data[12] != ' ')
        return 0;
    head->status = (int)number(data + 9, 3);
    if (head->status < 200 || head->status > 599 || head->status == 204 || head->status == 304)
        return 0;
    cursor.at = data + 13;
    while (cursor.at < cursor.end && *cursor.at >= ' ' && *cursor.at <= '~')
        cursor.at++;
    if (cursor.end - cursor.at < 2 || cursor.at[0] != '\r' || cursor.at[1] != '\n')
        return 0;
    cursor.at += 2;
    head->lines = cursor.at;
    head->count = read_lines(&cursor, head->headers, &head->framing, 0);
    head->bytes = cursor.at - data;
    const Framing *framing = &head->framing;
    head->can_keep = !framing->is_closing && (framing->is_chunked || framing->length >= 0);
    return head->count >= 0 && !(framing->is_chunked && framing->length >= 0);
}

static PyObject *read_answer(PyObject *module, PyObject *argument)
{
    char *data;
    Py_ssize_t size;
    AnswerHead head;
    char back[MOST_HEAD];
    (void)module;
    if (PyBytes_AsStringAndSize(argument, &data, &size) < 0)
        return NULL;
    if (!scan_answer(data, size, &head))
        Py_RETURN_NONE;
    PyObject *values = as_values(head.headers, head.count);
    PyObject *length = head.framing.length < 0 ? Py_None : PyLong_FromLongLong(head.framing.length);
    if (head.framing.length < 0)
        Py_INCREF(Py_None);
    if (values == NULL || length == NULL) {
        Py_XDECREF(values);
        Py_XDECREF(length);
        return NULL;
    }
    Py_ssize_t back_bytes = put_passed_back(head.headers, head.count, NULL, back);
    return Py_BuildValue("(niNy#y#NNN)", head.bytes, head.status, values, head.lines, data + head.bytes - 2 - head.lines,
                         back, back_bytes, length, PyBool_FromLong(head.framing.is_chunked),
                         PyBool_FromLong(head.can_keep));
}

PyDoc_STRVAR(configure_doc, "configure(passed_on, not_passed_back): frozensets of names of headers in lower case.");

int take_names(PyObject *set, Names *names)
{
    PyObject *listed = PySequence_List(set);
    Py_ssize_t count = listed == NULL ? -1 : PyList_Size(listed);
    int at = 0;
    if (count < 0 || count > MOST_NAMES) {
        Py_XDECREF(listed);
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "too many names");
        return -1;
    }
    for (int size = 0; size <= MOST_NAME; size++) {
        names->first[size] = at;
        for (Py_ssize_t i = 0; i < count; i++) {
            char *name;
            Py_ssize_t bytes;
            if (PyBytes_AsStringAndSize(PyList_GetItem(listed, i), &name, &bytes) < 0) {
                Py_DECREF(listed);
                return -1;
            }
            if (bytes == size)
                memcpy(names->name[at++], name, (size_t)bytes);
        }
    }
    names->first[MOST_NAME + 1] = at;
    Py_DECREF(listed);
    return 0;
}

static PyObject *configure(PyObject *module, PyObject *arguments)
{
    PyObject *on, *back;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OO", &on, &back))
        return NULL;
    if (take_names(on, &passed_on) < 0 || take_names(back, &not_passed_back) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Bodies: JSON, of which the whole grammar is checked, and of the top level it is told where each value stands. */

enum { MOST_NESTED = 64, MOST_DIGITS = 300 };

typedef struct {
    const char *at, *end;
    int has_high;                /* whether a byte stood there that is not ASCII */
} Json;

static void blanks(Json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

static int is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))
/* The high bit of some byte is set where one of the eight is zero. */
#define ANY_ZERO(word) (((word) - EACH_BYTE(0x01)) & ~(word))

/* Over what needs no look, eight bytes at a time: no quotation mark, backslash or control character, and no high bit. */
static const char *over_letters(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        uint64_t odd = ANY_ZERO(word ^ EACH_BYTE('"')) | ANY_ZERO(word ^ EACH_BYTE('\\')) | (word - EACH_BYTE(0x20)) | word;
        if (odd & EACH_BYTE(0x80))
            break;
    }
    return at;
}

/* Over a string whose opening mark stands at `at`; 0 where it is none. `has_escapes` is set where it has some. */
static int string(Json *json, int *has_escapes)
{
    const char *at = json->at, *end = json->end;
    if (at >= end || *at != '"')
        return 0;
    for (at = over_letters(at + 1, end); at < end;) {
        unsigned char c = (unsigned char)*at;
        if (c == '"') {
            json->at = at + 1;
            return 1;
        }
        if (c < 0x20)
            return 0;
        if (c == '\\') {
            *has_escapes = 1;
            if (end - at < 2)
                return 0;
            if (at[1] == 'u') {
                if (end - at < 6 || !is_hex(at[2]) || !is_hex(at[3]) || !is_hex(at[4]) || !is_hex(at[5]))
                    return 0;
                at += 6;
            } else if (at[1] && strchr("\"\\/bfnrt", at[1])) {
                at += 2;
            } else {
                return 0;
            }
            at = over_letters(at, end);
        } else {
            json->has_high |= c >= 0x80;
            at++;
            if (c < 0x80 && end - at >= 8)
                at = over_letters(at, end);
        }
    }
    return 0;
}

static const char *over_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static int json_number(Json *json)
{
    const char *at = json->at, *end = json->end, *digits;
    if (at < end && *at == '-')
        at++;
    digits = at;
    at = over_digits(at, end);
    if (at == digits || at - digits > MOST_DIGITS || (*digits == '0' && at - digits > 1))
        return 0;
    if (at < end && *at == '.') {
        digits = ++at;
        if ((at = over_digits(at, end)) == digits)
            return 0;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = at;
        if ((at = over_digits(at, end)) == digits)
            return 0;
    }
    json->at = at;
    return 1;
}

static int word(Json *json, const char *text, Py_ssize_t size)
{
    if (json->end - json->at < size || memcmp(json->at, text, (size_t)size))
        return 0;
    json->at += size;
    return 1;
}

static int value(Json *json, int depth)
{
    int ignored = 0;
    if (json->at >= json->end)
        return 0;
    char first = *json->at;
    switch (first) {
    case '"':
        return string(json, &ignored);
    case 't':
        return word(json, "true", 4);
    case 'f':
        return word(json, "false", 5);
    case 'n':
        return word(json, "null", 4);
    case '{':
    case '[':
        break;
    default:
        return json_number(json);
    }
    if (depth == MOST_NESTED)
        return 0;
    char last = first == '{' ? '}' : ']';
    json->at++;
    blanks(json);
    if (json->at < json->end && *json->at == last) {
        json->at++;
        return 1;
    }
    for (;;) {
        if (first == '{') {
            if (!string(json, &ignored))
                return 0;
            blanks(json);
            if (!word(json, ":", 1))
                return 0;
            blanks(json);
        }
        if (!value(json, depth + 1))
            return 0;
        blanks(json);
        if (word(json, last == '}' ? "}" : "]", 1))
            return 1;
        if (!word(json, ",", 1))
            return 0;
        blanks(json);
    }
}

/* Over a list of objects, and of at least one; 0, and nothing done, where it is none. */
static int messages(Json *json)
{
    Json ahead = *json;
    if (!word(&ahead, "[", 1))
        return 0;
    do {
        blanks(&ahead);
        if (ahead.at >= ahead.end || *ahead.at != '{' || !value(&ahead, 2))
            return 0;
        blanks(&ahead);
    } while (word(&ahead, ",", 1));
    if (!word(&ahead, "]", 1))
        return 0;
    *json = ahead;
    return 1;
}

/* By which names a request bounds its answer, the first that says a number counting: as in guard.py. */
static const char *const ANSWER_LENGTHS[LENGTHS] = {"max_completion_tokens", "max_tokens", "max_output_tokens"};

long long stated_tokens(const Outline *outline)
{
    for (int i = 0; i < LENGTHS; i++) {
        if (outline->length[i] == NULL)
            continue;
        const char *end = outline->length[i] + outline->length_bytes[i];
        if (over_digits(outline->length[i], end) != end)
            continue;
        /* Of more digits than are read it is more than counts. */
        long long found = number(outline->length[i], outline->length_bytes[i]);
        if (found != 0)
            return found > 0 ? found : LLONG_MAX;
    }
    return 0;
}

/* One member of the top level. 1, 0 where it is not plain, -1 with an exception set. */
static int member(Json *json, Outline *outline, const char *begin)
{
    int has_escapes = 0;
    const char *name = json->at + 1;
    if (!string(json, &has_escapes) || has_escapes)
        return 0;
    Py_ssize_t name_bytes = json->at - 1 - name;
    blanks(json);
    if (!word(json, ":", 1))
        return 0;
    blanks(json);
    const char *at = json->at;
    int is_model = name_bytes == 5 && !memcmp(name, "model", 5);
    int is_stream = name_bytes == 6 && !memcmp(name, "stream", 6);
    int is_messages = name_bytes == 8 && !memcmp(name, "messages", 8);
    outline->is_special |= (name_bytes == 1 && *name == 'n') || (name_bytes == 11 && !memcmp(name, "tool_choice", 11));
    if (is_messages) {
        outline->has_messages = messages(json);
        if (!outline->has_messages && !value(json, 1))
            return 0;
    } else if (is_model) {
        outline->model = NULL;
        if (*at == '"') {
            if (!string(json, &has_escapes) || has_escapes)
                return 0;
            outline->model = at + 1;
            outline->model_bytes = json->at - at - 2;
        } else if (!word(json, "null", 4)) {
            return 0;
        }
    } else if (is_stream) {
        outline->streams = word(json, "true", 4);
        if (!outline->streams && !word(json, "false", 5) && !word(json, "null", 4))
            return 0;
    } else if (!value(json, 1)) {
        return 0;
    }
    for (int i = 0; i < LENGTHS; i++) {
        if (name_bytes == (Py_ssize_t)strlen(ANSWER_LENGTHS[i]) && !memcmp(name, ANSWER_LENGTHS[i], (size_t)name_bytes)) {
            outline->length[i] = at;
            outline->length_bytes[i] = json->at - at;
        }
    }
    if (outline->spans == NULL)
        return 1;
    PyObject *key = PyUnicode_DecodeUTF8(name, name_bytes, NULL);
    if (key == NULL) {
        PyErr_Clear();
        return 0;
    }
    PyObject *span = Py_BuildValue("(nn)", (Py_ssize_t)(at - begin), (Py_ssize_t)(json->at - begin));
    int is_set = span == NULL ? -1 : PyDict_SetItem(outline->spans, key, span);
    Py_DECREF(key);
    Py_XDECREF(span);
    return is_set < 0 ? -1 : 1;
}

int scan_body(const char *begin, Py_ssize_t size, Outline *outline)
{
    Json whole = {begin, begin + size, 0}, *json = &whole;
    blanks(json);
    if (!word(json, "{", 1))
        return 0;
    blanks(json);
    if (!word(json, "}", 1)) {
        for (;;) {
            int found = member(json, outline, begin);
            if (found < 1)
                return found;
            blanks(json);
            if (word(json, "}", 1))
                break;
            if (!word(json, ",", 1))
                return 0;
            blanks(json);
        }
    }
    blanks(json);
    if (json->at != json->end)
        return 0;
    if (json->has_high) {
        PyObject *text = PyUnicode_DecodeUTF8(begin, json->end - begin, NULL);
        if (text == NULL) {
            PyErr_Clear();
            return 0;
        }
        Py_DECREF(text);
    }
    return 1;
}

PyDoc_STRVAR(outline_doc,
    "outline(data) -> (spans, model, stream, has_messages) of a body that is a plain JSON object, or None. `spans` tells\n"
    "where the value of each key of the top level begins and ends; `model` is None where none is named; `has_messages`\n"
    "says whether `messages` is a list of objects, and of one at least.");

static PyObject *outline(PyObject *module, PyObject *argument)
{
    char *data;
    Py_ssize_t size;
    (void)module;
    if (PyBytes_AsStringAndSize(argument, &data, &size) < 0)
        return NULL;
    Outline found = {.spans = PyDict_New()};
    if (found.spans == NULL)
        return NULL;
    int is_plain = scan_body(data, size, &found);
    PyObject *model = Py_None;
    if (is_plain == 1 && found.model != NULL) {
        model = PyUnicode_DecodeUTF8(found.model, found.model_bytes, NULL);
        if (model == NULL) {
            PyErr_Clear();
            is_plain = 0;
        }
    } else {
        Py_INCREF(Py_None);
    }
    if (is_plain < 1) {
        Py_XDECREF(model);
        return is_plain < 0 ? failed(found.spans) : none(found.spans);
    }
    return Py_BuildValue("(NNNN)", found.spans, model, PyBool_FromLong(found.streams), PyBool_FromLong(found.has_messages));
}

/* What an answer used. */

static int starts(const char *at, const char *end, const char *text)
{
    Py_ssize_t size = (Py_ssize_t)strlen(text);
    return end - at >= size && !memcmp(at, text, (size_t)size);
}

static const char *const KIND_NAMES[KINDS] = {"prompt", "completion", "cached"};
/* How APIs name them before `_tokens"`. */
static const struct {
    const char *name;
    int kind, is_apart;          /* whether what was cached is no part of the prompt */
} COUNTED[] = {{"prompt", PROMPTED, 0}, {"completion", COMPLETED, 0}, {"cached", CACHED, 0}, {"input", PROMPTED, 0},
               {"output", COMPLETED, 0}, {"cache_read_input", CACHED, 1}, {NULL, 0, 0}};

static void tell(Usage *usage, int kind, long long count)
{
    usage->counts[kind] = count;
    if (!usage->is_told[kind])
        usage->order[usage->told++] = kind;
    usage->is_told[kind] = 1;
}

/* The kinds that are told from `at` on; how many mentions there are. */
static int read_usage(const char *at, const char *end, Usage *usage)
{
    int has_apart = 0;
    int mentions = 0;
    while ((at = memchr(at, '"', (size_t)(end - at))) != NULL) {
        int found = 0;
        at++;
        while (COUNTED[found].name != NULL
               && !(starts(at, end, COUNTED[found].name) && starts(at + strlen(COUNTED[found].name), end, "_tokens\"")))
            found++;
        if (COUNTED[found].name == NULL)
            continue;
        const char *then = at + strlen(COUNTED[found].name) + 8;
        /* As \s of a pattern over bytes. */
        while (then < end && (*then == ' ' || (*then >= '\t' && *then <= '\r')))
            then++;
        if (then == end || *then++ != ':')
            continue;
        while (then < end && (*then == ' ' || (*then >= '\t' && *then <= '\r')))
            then++;
        const char *digits = then;
        long long count = 0;
        for (; then < end && *then >= '0' && *then <= '9' && then - digits < 12; then++)
            count = count * 10 + (*then - '0');
        if (then == digits)
            continue;
        tell(usage, COUNTED[found].kind, count);
        has_apart |= COUNTED[found].is_apart;
        mentions++;
        at = then;
    }
    if (has_apart && usage->counts[CACHED])
        tell(usage, PROMPTED, usage->counts[PROMPTED] + usage->counts[CACHED]);
    return mentions;
}

void scan_usage(const char *data, Py_ssize_t size, Usage *usage)
{
    const char *last = NULL;
    for (Py_ssize_t i = size - 7; i >= 0 && last == NULL; i--)
        if (data[i] == '"' && !memcmp(data + i, "\"usage\"", 7))
            last = data + i;
    memset(usage, 0, sizeof *usage);
    if (!read_usage(last ? last : data, data + size, usage) && last != NULL)
        read_usage(data, data + size, usage);
}

PyDoc_STRVAR(usage_of_doc, "usage_of(tail): as openai_api.usage_of.");

static PyObject *usage_of(PyObject *module, PyObject *argument)
{
    char *data;
    Py_ssize_t size;
    Usage found;
    (void)module;
    if (PyBytes_AsStringAndSize(argument, &data, &size) < 0)
        return NULL;
    scan_usage(data, size, &found);
    PyObject *usage = PyDict_New();
    for (int i = 0; i < found.told && usage != NULL; i++) {
        PyObject *number = PyLong_FromLongLong(found.counts[found.order[i]]);
        if (number == NULL || PyDict_SetItemString(usage, KIND_NAMES[found.order[i]], number) < 0)
            Py_CLEAR(usage);
        Py_XDECREF(number);
    }
    return usage;
}

/* Bodies of megabytes, told piece by piece where long data lies within their strings: base64 of images and sounds. */

/* Where a piece ended: outside strings, within one, after a backslash in one, and there with 4 to 1 digits of a \u left
 * (3 to 6), or within data that was told of. */
enum { OUTSIDE, WITHIN, ESCAPE, DIGITS, LAST_DIGIT = DIGITS + 3, IN_DATA };
/* What data begins with is left where it is: it says what it is. */
enum { LEFT_OF_DATA = 64 };

static int is_data(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte > ' ' && byte < 0x80;
}

/* To the first quotation mark or backslash. */
static const char *to_sign(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        if ((ANY_ZERO(word ^ EACH_BYTE('"')) | ANY_ZERO(word ^ EACH_BYTE('\\'))) & EACH_BYTE(0x80))
            break;
    }
    while (at < end && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* To the first byte that is a blank, a control character or not ASCII. */
static const char *over_data(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        if (((word - EACH_BYTE(0x21)) | word) & EACH_BYTE(0x80))
            break;
    }
    while (at < end && is_data(*at))
        at++;
    return at;
}

static int tell_run(PyObject *runs, const char *data, const char *begin, const char *end)
{
    PyObject *run = Py_BuildValue("(nn)", (Py_ssize_t)(begin - data), (Py_ssize_t)(end - data));
    int is_set = run ? PyList_Append(runs, run) : -1;
    Py_XDECREF(run);
    return is_set;
}

/* The long data in a part of a string that has neither marks nor backslashes. Whether it ends within such; -1 on error. */
static int read_data(PyObject *runs, const char *data, const char *at, const char *end, Py_ssize_t least, int goes_on)
{
    if (goes_on) {
        const char *last = over_data(at, end);
        if (last > at && tell_run(runs, data, at, last) < 0)
            return -1;
        at = last;
        if (at == end)
            return 1;
    }
    while (end - at >= least + LEFT_OF_DATA) {
        /* From behind: of ordinary text a few letters in each `least` are looked at. */
        const char *back = at + least + LEFT_OF_DATA;
        while (back > at && is_data(back[-1]))
            back--;
        if (back > at) {
            at = back;
            continue;
        }
        const char *last = over_data(at + least, end);
        if (tell_run(runs, data, at + LEFT_OF_DATA, last) < 0)
            return -1;
        if (last == end)
            return 1;
        at = last;
    }
    return 0;
}

PyDoc_STRVAR(find_data_doc,
    "find_data(piece, state, least) -> (state, [(begin, end), ...]): where in the next piece of a JSON text its strings\n"
    "hold ASCII without blanks of so many bytes or more, or go on with it. `state` is 0 at the beginning.");

static PyObject *find_data(PyObject *module, PyObject *arguments)
{
    const char *data;
    Py_ssize_t size, least;
    int state;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#in", &data, &size, &state, &least))
        return NULL;
    PyObject *runs = PyList_New(0);
    if (runs == NULL)
        return NULL;
    const char *at = data, *end = data + size;
    while (at < end) {
        if (state == OUTSIDE) {
            const char *mark = memchr(at, '"', (size_t)(end - at));
            if (mark == NULL)
                break;
            state = WITHIN;
            at = mark + 1;
        } else if (state == ESCAPE) {
            state = *at++ == 'u' ? DIGITS : WITHIN;
        } else if (state >= DIGITS && state <= LAST_DIGIT) {
            /* A mark that stands here is damage, which the reader of the whole finds; it ends the string all the same. */
            state = *at == '"' ? OUTSIDE : state == LAST_DIGIT ? WITHIN : state + 1;
            at++;
        } else {
            const char *sign = to_sign(at, end);
            int in_data = read_data(runs, data, at, sign, least, state == IN_DATA);
            if (in_data < 0) {
                Py_DECREF(runs);
                return NULL;
            }
            at = sign;
            state = in_data && at == end ? IN_DATA : WITHIN;
            if (at < end)
                state = *at++ == '"' ? OUTSIDE : ESCAPE;
        }
    }
    return Py_BuildValue("(iN)", state, runs);
}

static PyMethodDef methods[] = {
    {"read_request", read_request, METH_O, read_request_doc},
    {"read_answer", read_answer, METH_O, read_answer_doc},
    {"outline", outline, METH_O, outline_doc},
    {"usage_of", usage_of, METH_O, usage_of_doc},
    {"find_data", find_data, METH_VARARGS, find_data_doc},
    {"configure", configure, METH_VARARGS, configure_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_quick", "What is plain, read in one pass.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__quick(void)
{
    for (int i = 0; i < 256; i++) {
        in_value[i] = (i >= 0x20 && i != 0x7f) || i == '\t';
        if ((i >= 'a' && i <= 'z') || (i >= '0' && i <= '9') || (i && strchr("!#$%&'*+-.^_`|~", i)))
            token[i] = (unsigned char)i;
        else if (i >= 'A' && i <= 'Z')
            token[i] = (unsigned char)(i + 32);
    }
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && (PyModule_AddIntConstant(module, "VERSION", VERSION) < 0 || add_plain(module) < 0))
        Py_CLEAR(module);
    return module;
}
