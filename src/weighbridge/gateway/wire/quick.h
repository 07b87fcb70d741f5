/* What quick.c reads, for itself and for plain.c. */
#ifndef WEIGHBRIDGE_QUICK_H
#define WEIGHBRIDGE_QUICK_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Told to Python, so that a library that was made of an older source is not used; quick.py has it too. */
enum { VERSION = 5 };
enum { MOST_HEADERS = 100, MOST_NAME = 64, MOST_NAMES = 64, MOST_HEAD = 32768 };
/* With a blank more in each line that has none after its colon. */
enum { MOST_HEAD_BYTES = MOST_HEAD + MOST_HEADERS };

typedef struct {
    const char *at, *end;
} Cursor;

/* Names of headers in lower case; those of a size stand together, the first of them at `first`. */
typedef struct {
    char name[MOST_NAMES][MOST_NAME];
    int first[MOST_NAME + 2];
} Names;

extern Names passed_on;       /* those that go on to an engine */
extern Names not_passed_back; /* those that stop here on the way back */

typedef struct {
    const char *line, *value;     /* the line as it came, with its CRLF */
    Py_ssize_t line_bytes, value_bytes;
    int name_bytes;
    char name[MOST_NAME];         /* in lower case */
} Header;

typedef struct {
    long long length;             /* -1 without Content-Length */
    int has_host, is_closing, is_kept, is_chunked;
} Framing;

typedef struct {
    const char *target;
    Py_ssize_t method_bytes, target_bytes, path_bytes, bytes; /* `bytes` of all of it, the blank line included */
    int count;
    Framing framing;
    Header headers[MOST_HEADERS];
} RequestHead;

typedef struct {
    const char *lines;
    Py_ssize_t bytes;
    int status, count, can_keep;
    Framing framing;
    Header headers[MOST_HEADERS];
} AnswerHead;

/* Takes the names of a set of bytes. -1 with an exception set. */
int take_names(PyObject *set, Names *names);
/* Whether a name is among some. */
int is_among(const Names *names, const char *name, int size);
/* Reads header lines up to the blank one. The count of them, -1 where they are not plain: no name may stand twice. */
int read_lines(Cursor *cursor, Header *headers, Framing *framing, int is_request);
/* A plain head at the beginning of some bytes; 0 where it is not plain, or not whole. */
int scan_request(const char *data, Py_ssize_t size, RequestHead *head);
int scan_answer(const char *data, Py_ssize_t size, AnswerHead *head);
/* Writes the lines that pass, and returns how many bytes: at most what came, and a byte more for each. On the way back
   `hidden` do not pass either, where it is not NULL. */
Py_ssize_t put_passed_on(const Header *headers, int count, char *to);
Py_ssize_t put_passed_back(const Header *headers, int count, const Names *hidden, char *to);

enum { LENGTHS = 3 };

typedef struct {
    PyObject *spans;              /* where each value of the top level stands; NULL where nobody asks */
    const char *model;            /* NULL where none is named */
    Py_ssize_t model_bytes;
    int streams, has_messages;
    int is_special;               /* whether `n` or `tool_choice` is named, which not every engine heeds */
    const char *length[LENGTHS];  /* what stands at each name by which a request bounds its answer; NULL where none */
    Py_ssize_t length_bytes[LENGTHS];
} Outline;

/* A body that is a plain JSON object. 1, 0 where it is not plain, -1 with an exception set. */
int scan_body(const char *begin, Py_ssize_t size, Outline *outline);
/* How many tokens its answer may have, as guard.guessed_tokens finds it; 0 where it does not say. */
long long stated_tokens(const Outline *outline);

enum { PROMPTED, COMPLETED, CACHED, KINDS };

typedef struct {
    long long counts[KINDS];
    int is_told[KINDS], order[KINDS], told; /* which kinds were told, in the order of their first mentions */
} Usage;

/* What an answer used, by the last of its body. */
void scan_usage(const char *data, Py_ssize_t size, Usage *usage);

/* plain.c: its types come into the module. -1 with an exception set. */
int add_plain(PyObject *module);

#endif
