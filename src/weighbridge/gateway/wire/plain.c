/* A plain request's whole way, from the client's bytes to the ledger: nearly all requests to a model by its name.
 *
 * Plain is a request that came in one piece, from a client who is known already, for a model that has room now, over an
 * idle connection to its engine, with nothing in it that must be decided or changed on the way; and an answer to it that
 * came in one piece too, with status 200 and no stream. All else is left to Python: `begin` and `answered` return 0 then,
 * and nothing has happened. A request that is on its way here when something odd comes (its client leaves, its engine
 * dies, its answer is a stream or an error) is handed over to Python with all that is known of it, and goes on there.
 *
 * So there is one short way, and one full way that can take over at any point; gateway/plain.py says what is plain.
 */
#include "quick.h"
#include <stddef.h>
#include <stdio.h>
#include <structmember.h>

/* The places of a choice. */
enum { CHOSEN_LANE, CHOSEN_LINES, CHOSEN_ROW, CHOSEN_CATEGORY, CHOSEN_ROUTE, CHOSEN_FIELDS };
enum { AT_HEAD = 0, AT_WORK = 2 }; /* as in connection.py */
enum { MOST_BODY = 64 << 10, MOST_TAIL = 4096, MOST_BOUNDS = 32, MOST_TOLD = 256, MOST_KEY = 512, MOST_ID = 64 };
/* How long keys are known before their file is looked at again: as in guard.py. */
static const double LOOK_SECONDS = 0.2;
/* The places of a `Served`. */
enum {
    ROW_AT, ROW_ID, ROW_KEY = 8, ROW_PROMPT_TOKENS = 13, ROW_COMPLETION_TOKENS, ROW_CACHED_TOKENS, ROW_QUEUE_US, ROW_FIRST_US,
    ROW_TOTAL_US, ROW_FIELDS = 21
};

/* What a connection to a client has for it: the base of wire.connection.Connection. */
typedef struct {
    PyObject_HEAD
    PyObject *transport, *pending, *ways, *line; /* `line` carries its request, where that is plain */
    int at;
    char is_write_paused;
    double deadline;
} Client;

/* A request on its way: whose, how it goes, who asks, what he sent, what the engine was sent, and which ticket of the
   pool it has; what is set aside for it of the limits of who asks, None where he has none; and where the model was
   chosen for it, what that says: (lane, lines of the answer's head, row, category, route), else None. */
typedef struct {
    PyObject *client, *lane, *caller, *data, *sent, *ticket, *spending, *choice;
    Py_ssize_t head_bytes;
    double asked_at;
} Passage;

/* What a connection to an engine has for it: the base of wire.upstream._Line. */
typedef struct {
    PyObject_HEAD
    PyObject *transport;
    Passage passage;             /* all NULL where it carries no plain request */
    double idle_since;
    char is_used;
} Line;

/* What was counted since Python last looked. */
typedef struct {
    long long begun, answered, tokens[KINDS], within[MOST_BOUNDS];
    double seconds;
} Tally;

/* How plain requests for one model at one path go. */
typedef struct {
    PyObject_HEAD
    PyObject *way;               /* what Python knows of it */
    PyObject *model, *category;  /* as Feedback wants them */
    PyObject *head;              /* of what the engine is sent: its first line, and its own headers */
    PyObject *name;              /* by which the engine knows the model, as JSON; None where it knows it as clients do */
    PyObject *lines;             /* that the answer's head gets more */
    PyObject *kept;              /* idle connections, the last used at the end */
    PyObject *passing, *passed;  /* the pool's tickets, and when models were left */
    PyObject *load, *health;
    PyObject *row;               /* for the ledger, with what all requests have in common */
    PyObject *state;             /* of the pool, for which `room` holds */
    Py_ssize_t room, most_bytes, most_kept;
    int has_messages, is_blind, is_remembered, goes_when_idle, is_noted, bounds;
    double bound[MOST_BOUNDS];   /* of the histogram of seconds */
    Tally tally;
} Lane;

/* What all lanes share. */
typedef struct {
    PyObject_HEAD
    PyObject *owner;             /* Plain in plain.py, which is asked for all that is seldom */
    PyObject *guard, *callers;   /* who may come in, by the value of the header that shows it */
    PyObject *pool;
    PyObject *lanes;             /* by path, a blank, and the model's name; True where a model is chosen for each request */
    PyObject *numbers, *tickets; /* of requests, in their names and in the pool */
    PyObject *run;               /* what their names begin with */
    PyObject *clock, *monotonic, *time;
    PyObject *told, *remembered; /* rows for the ledger, and what feedback may come to */
    PyObject *noted;             /* lanes in which something was counted */
    Names limit_lines;           /* of an engine's answer, that do not pass where we tell of limits of our own */
    char is_open;
    Py_ssize_t most_bytes;
    double idle_seconds;
} Ways;

static PyTypeObject *client_type, *line_type, *lane_type, *ways_type;
static PyObject *zero;
static struct {
    PyObject *admit, *choose, *drop, *expires, *find, *get_write_buffer_size, *in_flight, *is_closing, *is_limited, *is_open, *looked_at, *models,
        *name, *received, *renew, *rest, *leave, *serving, *settle, *settle_soon, *spent, *state, *unused, *used_at, *write;
} word;

static PyObject *held(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

/* Small ways to ask Python; each returns -1 with an exception set. */

static int done(PyObject *result)
{
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int is_true(PyObject *result)
{
    int found = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return found;
}

static int seconds_of(PyObject *result, double *seconds)
{
    *seconds = result == NULL ? -1.0 : PyFloat_AsDouble(result);
    Py_XDECREF(result);
    return *seconds == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static int add_to(PyObject *object, PyObject *name, long more)
{
    PyObject *before = PyObject_GetAttr(object, name);
    long count = before == NULL ? -1 : PyLong_AsLong(before);
    Py_XDECREF(before);
    if (count == -1 && PyErr_Occurred())
        return -1;
    PyObject *after = PyLong_FromLong(count + more);
    int is_set = after == NULL ? -1 : PyObject_SetAttr(object, name, after);
    Py_XDECREF(after);
    return is_set;
}

static int set_seconds(PyObject *object, PyObject *name, double seconds)
{
    PyObject *value = PyFloat_FromDouble(seconds);
    int is_set = value == NULL ? -1 : PyObject_SetAttr(object, name, value);
    Py_XDECREF(value);
    return is_set;
}

static void put(char **to, const char *text, Py_ssize_t size)
{
    memcpy(*to, text, (size_t)size);
    *to += size;
}

static void put_bytes(char **to, PyObject *bytes)
{
    put(to, PyBytes_AsString(bytes), PyBytes_Size(bytes));
}

/* Whether a word stands in a text. */
static int holds(const char *text, Py_ssize_t size, const char *sought)
{
    size_t length = strlen(sought);
    const char *end = text + size;
    while ((size_t)(end - text) >= length && (text = memchr(text, *sought, (size_t)(end - text) - length + 1)) != NULL) {
        if (!memcmp(text, sought, length))
            return 1;
        text++;
    }
    return 0;
}

static const Header *header(const Header *headers, int count, const char *name)
{
    int size = (int)strlen(name);
    for (int i = 0; i < count; i++)
        if (headers[i].name_bytes == size && !memcmp(headers[i].name, name, (size_t)size))
            return &headers[i];
    return NULL;
}

static int has_value(const Header *found, const char *value)
{
    return found != NULL && found->value_bytes == (Py_ssize_t)strlen(value)
           && !memcmp(found->value, value, (size_t)found->value_bytes);
}

/* What goes wrong in counting and telling is no fault of the request, which goes on. */
static void tell_fault(int found, PyObject *where)
{
    if (found < 0)
        PyErr_WriteUnraisable(where);
}

static int note(Ways *ways, Lane *lane)
{
    if (lane->is_noted)
        return 0;
    if (PyList_Append(ways->noted, (PyObject *)lane) < 0)
        return -1;
    lane->is_noted = 1;
    return PyList_Size(ways->noted) > 1 ? 0 : done(PyObject_CallMethodObjArgs(ways->owner, word.settle_soon, NULL));
}

/* A request comes. */

static int has_plain_head(const Ways *ways, const RequestHead *head, Py_ssize_t size)
{
    return head->method_bytes == 4 && !memcmp(head->target - 5, "POST", 4) && head->path_bytes == head->target_bytes
           && !head->framing.is_closing && head->framing.length > 0 && head->framing.length == size - head->bytes
           && head->framing.length <= ways->most_bytes
           && has_value(header(head->headers, head->count, "content-type"), "application/json")
           && header(head->headers, head->count, "origin") == NULL;
}

/* Who asks; NULL where nobody is known by what is shown, or with an exception set. */
static PyObject *caller_of(Ways *ways, const RequestHead *head, double now)
{
    double looked_at, expires, wall;
    if (seconds_of(PyObject_GetAttr(ways->guard, word.looked_at), &looked_at) < 0 || now - looked_at > LOOK_SECONDS)
        return NULL;
    int is_open = is_true(PyObject_GetAttr(ways->guard, word.is_open));
    const Header *shown = is_open < 0 ? NULL : header(head->headers, head->count, is_open ? "host" : "authorization");
    PyObject *value = shown == NULL ? NULL : PyBytes_FromStringAndSize(shown->value, shown->value_bytes);
    if (value == NULL)
        return NULL;
    PyObject *caller = PyDict_GetItemWithError(ways->callers, value);
    Py_DECREF(value);
    if (caller == NULL)
        return NULL;
    Py_INCREF(caller);
    if (seconds_of(PyObject_GetAttr(caller, word.expires), &expires) < 0
        || seconds_of(PyObject_CallNoArgs(ways->time), &wall) < 0 || expires < wall
        || set_seconds(caller, word.used_at, wall) < 0)
        Py_CLEAR(caller);
    return caller;
}

/* Whether he may ask for a lane's model; -1 with an exception set. */
static int may_ask(PyObject *caller, const Lane *lane)
{
    PyObject *models = PyObject_GetAttr(caller, word.models);
    int may = models == NULL ? -1 : models == Py_None ? 1 : PySet_Contains(models, lane->model);
    Py_XDECREF(models);
    return may;
}

/* The lane of a request, or True where one is chosen for each; NULL where there is none, or with an exception set. */
static PyObject *lane_of(Ways *ways, const RequestHead *head, const Outline *body)
{
    char text[MOST_KEY], *to = text;
    if (head->path_bytes + 1 + body->model_bytes > MOST_KEY)
        return NULL;
    put(&to, head->target, head->path_bytes);
    put(&to, " ", 1);
    put(&to, body->model, body->model_bytes);
    PyObject *key = PyBytes_FromStringAndSize(text, to - text);
    PyObject *lane = key == NULL ? NULL : PyDict_GetItemWithError(ways->lanes, key);
    if (lane == NULL && key != NULL && !PyErr_Occurred() && !done(PyObject_CallMethodObjArgs(ways->owner, word.find, key, NULL)))
        lane = PyDict_GetItemWithError(ways->lanes, key);
    Py_XDECREF(key);
    /* Its own reference: `renew` may have all lanes forgotten. */
    return lane != NULL && (Py_TYPE(lane) == lane_type || lane == Py_True) ? held(lane) : NULL;
}

static int is_plain_body(const Lane *lane, const Outline *body, const char *text, Py_ssize_t size)
{
    return body->has_messages >= lane->has_messages && size <= lane->most_bytes
           && !(lane->is_blind && holds(text, size, "image"));
}

/* Whether the engine may have one request more; -1 with an exception set. */
static int has_room(Ways *ways, Lane *lane)
{
    PyObject *state = PyObject_GetAttr(ways->pool, word.state);
    if (state == NULL)
        return -1;
    int is_known = lane->state == state;
    Py_DECREF(state);
    if (!is_known && done(PyObject_CallMethodObjArgs(ways->owner, word.renew, (PyObject *)lane, NULL)) < 0)
        return -1;
    return PySet_Size(lane->passing) < lane->room;
}

/* An idle connection to the engine, taken from those that are kept; NULL where there is none, or with an exception set. */
static Line *idle_line(Lane *lane)
{
    for (Py_ssize_t last; (last = PyList_Size(lane->kept) - 1) >= 0;) {
        PyObject *line = PyList_GetItem(lane->kept, last);
        Py_INCREF(line);
        if (!PyObject_TypeCheck(line, line_type)) {
            PyErr_SetString(PyExc_TypeError, "it is no connection to an engine");
            Py_DECREF(line);
            return NULL;
        }
        int is_closing = PyList_SetSlice(lane->kept, last, last + 1, NULL) < 0
            ? -1 : is_true(PyObject_CallMethodObjArgs(((Line *)line)->transport, word.is_closing, NULL));
        if (!is_closing && ((Line *)line)->passage.client == NULL)
            return (Line *)line;
        Py_DECREF(line);
        if (is_closing < 0)
            return NULL;
    }
    return NULL;
}

/* What the engine is sent. */
static PyObject *to_engine(const Lane *lane, const RequestHead *head, const Outline *body, const char *text, Py_ssize_t size)
{
    char lines[MOST_HEAD_BYTES], length[48];
    int is_renamed = lane->name != Py_None;
    /* A name stands in quotation marks. */
    const char *after = is_renamed ? body->model + body->model_bytes + 1 : text;
    Py_ssize_t renamed = is_renamed ? PyBytes_Size(lane->name) - body->model_bytes - 2 : 0;
    Py_ssize_t lines_bytes = put_passed_on(head->headers, head->count, lines);
    int length_bytes = snprintf(length, sizeof length, "content-length: %zd\r\n\r\n", size + renamed);
    PyObject *sent = PyBytes_FromStringAndSize(NULL, PyBytes_Size(lane->head) + lines_bytes + length_bytes + size + renamed);
    if (sent == NULL)
        return NULL;
    char *to = PyBytes_AsString(sent);
    put_bytes(&to, lane->head);
    put(&to, lines, lines_bytes);
    put(&to, length, length_bytes);
    if (is_renamed) {
        put(&to, text, body->model - 1 - text);
        put_bytes(&to, lane->name);
    }
    put(&to, after, text + size - after);
    return sent;
}

/* Have a connection carry a request, whose parts become its own. From here on it is answered, or handed over: what can't
   be written is heard of when the connection is lost. */
static void carry(Line *line, Passage passage, Ways *ways)
{
    Client *client = (Client *)passage.client;
    Lane *lane = (Lane *)held(passage.lane);
    PyObject *sent = held(passage.sent);
    line->passage = passage;
    client->line = held((PyObject *)line);
    client->at = AT_WORK;
    lane->tally.begun++;
    tell_fault(PySet_Add(lane->passing, passage.ticket), ways->owner);
    tell_fault(add_to(lane->health, word.serving, 1), ways->owner);
    tell_fault(add_to(lane->load, word.in_flight, 1), ways->owner);
    tell_fault(note(ways, lane), ways->owner);
    tell_fault(done(PyObject_CallMethodObjArgs(line->transport, word.write, sent, NULL)), ways->owner);
    Py_DECREF(sent);
    Py_DECREF(lane);
}

/* What is set aside for a request of its caller's limits; None where he has none; NULL where it is too much, which is
   refused elsewhere, or with an exception set. */
static PyObject *set_aside(const Ways *ways, PyObject *caller, const Outline *body, Py_ssize_t size)
{
    int is_limited = is_true(PyObject_GetAttr(caller, word.is_limited));
    if (is_limited < 1)
        return is_limited < 0 ? NULL : held(Py_None);
    PyObject *bytes = PyLong_FromSsize_t(size), *stated = PyLong_FromLongLong(stated_tokens(body));
    PyObject *found = bytes == NULL || stated == NULL
        ? NULL : PyObject_CallMethodObjArgs(ways->owner, word.admit, caller, bytes, stated, NULL);
    Py_XDECREF(bytes);
    Py_XDECREF(stated);
    if (found == Py_None)
        Py_CLEAR(found);
    return found;
}

/* Send the engine a request, if it has room; as `begin`. */
static int begin_in(Lane *lane, PyObject *choice, PyObject *caller, double now, Client *client, Ways *ways, PyObject *data,
                    const RequestHead *head, const Outline *body)
{
    const char *text = PyBytes_AsString(data) + head->bytes;
    Py_ssize_t size = PyBytes_Size(data) - head->bytes;
    if (!is_plain_body(lane, body, text, size) || has_room(ways, lane) < 1)
        return 0;
    PyObject *ticket = PyIter_Next(ways->tickets);
    PyObject *sent = ticket == NULL ? NULL : to_engine(lane, head, body, text, size);
    Line *line = sent == NULL ? NULL : idle_line(lane);
    PyObject *spending = line == NULL ? NULL : set_aside(ways, caller, body, size);
    /* Nobody may have taken the client on meanwhile. */
    if (spending == NULL || client->at != AT_HEAD || client->line != NULL) {
        /* Its connection is there for the next one. */
        if (line != NULL && !PyErr_Occurred())
            tell_fault(PyList_Append(lane->kept, (PyObject *)line), ways->owner);
        if (spending != NULL && spending != Py_None)
            tell_fault(done(PyObject_CallMethodObjArgs(spending, word.drop, NULL)), ways->owner);
        Py_XDECREF((PyObject *)line);
        Py_XDECREF(spending);
        Py_XDECREF(ticket);
        Py_XDECREF(sent);
        return 0;
    }
    Passage passage = {held((PyObject *)client), held((PyObject *)lane), held(caller), held(data), sent, ticket, spending,
                       held(choice), head->bytes, now};
    carry(line, passage, ways);
    Py_DECREF(line);
    return 1;
}

/* Whether it is what Python says of a choice. */
static int is_choice(PyObject *found)
{
    return PyTuple_Check(found) && PyTuple_Size(found) == CHOSEN_FIELDS
           && Py_TYPE(PyTuple_GetItem(found, CHOSEN_LANE)) == lane_type && PyBytes_Check(PyTuple_GetItem(found, CHOSEN_LINES))
           && PyTuple_Check(PyTuple_GetItem(found, CHOSEN_ROW))
           && PyTuple_Size(PyTuple_GetItem(found, CHOSEN_ROW)) == ROW_FIELDS;
}

/* How the model of a request is chosen: None where its lane says it all, and he may ask for it; NULL where all of it is left
   to Python, or with an exception set. */
static PyObject *choice_of(const Ways *ways, PyObject *lane, PyObject *caller, PyObject *data, const RequestHead *head)
{
    if (lane != Py_True)
        return may_ask(caller, (Lane *)lane) < 1 ? NULL : held(Py_None);
    PyObject *path = PyBytes_FromStringAndSize(head->target, head->path_bytes);
    PyObject *body = PyBytes_FromStringAndSize(PyBytes_AsString(data) + head->bytes, PyBytes_Size(data) - head->bytes);
    PyObject *found = path == NULL || body == NULL
        ? NULL : PyObject_CallMethodObjArgs(ways->owner, word.choose, caller, path, body, NULL);
    Py_XDECREF(path);
    Py_XDECREF(body);
    if (found != NULL && !is_choice(found)) {
        if (found != Py_None)
            PyErr_SetString(PyExc_TypeError, "it is no choice");
        Py_CLEAR(found);
    }
    return found;
}

/* What its client's connection belongs to, for itself; NULL where that is none of these. */
static Ways *ways_of(const Client *client)
{
    return client->ways != NULL && Py_TYPE(client->ways) == ways_type ? (Ways *)held(client->ways) : NULL;
}

/* Begin a request; 0 where it is not plain, and nothing has happened; -1 with an exception set. */
static int begin(Client *client, Ways *ways, PyObject *data)
{
    RequestHead head;
    Outline body = {.spans = NULL};
    char *text;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(data, &text, &size) < 0)
        return -1;
    if (!scan_request(text, size, &head) || !has_plain_head(ways, &head, size))
        return 0;
    if (scan_body(text + head.bytes, size - head.bytes, &body) < 1 || body.model == NULL)
        return PyErr_Occurred() ? -1 : 0;
    if (body.streams || body.is_special)
        return 0;
    double now;
    PyObject *lane = lane_of(ways, &head, &body);
    PyObject *caller = lane == NULL || seconds_of(PyObject_CallNoArgs(ways->monotonic), &now) < 0
        ? NULL : caller_of(ways, &head, now);
    PyObject *choice = caller == NULL ? NULL : choice_of(ways, lane, caller, data, &head);
    int is_begun = choice == NULL ? 0 : begin_in(
        choice == Py_None ? (Lane *)lane : (Lane *)PyTuple_GetItem(choice, CHOSEN_LANE), choice, caller, now, client, ways,
        data, &head, &body);
    if (is_begun == 0 && choice != NULL && choice != Py_None && !PyErr_Occurred())
        tell_fault(done(PyObject_CallMethodObjArgs(ways->owner, word.unused, NULL)), ways->owner);
    Py_XDECREF(choice);
    Py_XDECREF(caller);
    Py_XDECREF(lane);
    return PyErr_Occurred() ? -1 : is_begun;
}

/* Its answer comes. */

/* Take a request from its connections. */
static Passage taken_from(Line *line)
{
    Passage passage = line->passage;
    memset(&line->passage, 0, sizeof line->passage);
    Py_CLEAR(((Client *)passage.client)->line);
    return passage;
}

static void drop(Passage *passage)
{
    Py_CLEAR(passage->client);
    Py_CLEAR(passage->lane);
    Py_CLEAR(passage->caller);
    Py_CLEAR(passage->data);
    Py_CLEAR(passage->sent);
    Py_CLEAR(passage->ticket);
    Py_CLEAR(passage->spending);
    Py_CLEAR(passage->choice);
}

/* What the choice says of a request where one was made for it, else what its lane does. */
static PyObject *said_of(const Passage *passage, int place, PyObject *by_lane)
{
    return passage->choice == Py_None ? by_lane : PyTuple_GetItem(passage->choice, place);
}

/* Whether a header's value begins so, its letters being small or not. */
static int begins(const Header *found, const char *small)
{
    Py_ssize_t size = (Py_ssize_t)strlen(small);
    if (found == NULL || found->value_bytes < size)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++)
        if ((found->value[i] >= 'A' && found->value[i] <= 'Z' ? found->value[i] + 32 : found->value[i]) != small[i])
            return 0;
    return 1;
}

static int has_plain_answer(const AnswerHead *head, Py_ssize_t size)
{
    return head->status == 200 && head->can_keep && head->framing.length == size - head->bytes
           && !begins(header(head->headers, head->count, "content-type"), "text/event-stream");
}

/* Whether the engine's connection can be kept for the next request; -1 with an exception set. */
static int can_be_kept(const Line *line, const Lane *lane)
{
    double waiting;
    if (PyList_Size(lane->kept) >= lane->most_kept)
        return 0;
    int is_closing = is_true(PyObject_CallMethodObjArgs(line->transport, word.is_closing, NULL));
    if (is_closing)
        return is_closing < 0 ? -1 : 0;
    if (seconds_of(PyObject_CallMethodObjArgs(line->transport, word.get_write_buffer_size, NULL), &waiting) < 0)
        return -1;
    return waiting == 0;
}

/* A name for a request, as no other has it; its length, -1 with an exception set. */
static int put_name(Ways *ways, char *text)
{
    PyObject *number = PyIter_Next(ways->numbers);
    long long count = number == NULL ? -1 : PyLong_AsLongLong(number);
    Py_XDECREF(number);
    if (count < 0)
        return -1;
    return snprintf(text, MOST_ID, "%s%012llx", PyBytes_AsString(ways->run), count);
}

/* Charge what a request has used, and have told what is left of its caller's limits: lines of a head, NULL with an
   exception set. */
static PyObject *spent(const Ways *ways, PyObject *spending, const Usage *usage, Py_ssize_t asked_bytes)
{
    if (spending == Py_None)
        return PyBytes_FromStringAndSize("", 0);
    PyObject *prompt = PyLong_FromLongLong(usage->counts[PROMPTED]), *answer = PyLong_FromLongLong(usage->counts[COMPLETED]);
    PyObject *bytes = PyLong_FromSsize_t(asked_bytes);
    PyObject *lines = prompt == NULL || answer == NULL || bytes == NULL
        ? NULL : PyObject_CallMethodObjArgs(ways->owner, word.spent, spending, prompt, answer, bytes, NULL);
    Py_XDECREF(prompt);
    Py_XDECREF(answer);
    Py_XDECREF(bytes);
    if (lines != NULL && !PyBytes_Check(lines)) {
        PyErr_SetString(PyExc_TypeError, "lines are no bytes");
        Py_CLEAR(lines);
    }
    return lines;
}

/* What the client is sent. */
static PyObject *to_client(PyObject *own_lines, const AnswerHead *head, const Names *hidden, const char *name,
                           int name_bytes, PyObject *more_lines, const char *body, Py_ssize_t size)
{
    static const char line[] = "HTTP/1.1 200 OK\r\n", naming[] = "x-request-id: ";
    char lines[MOST_HEAD_BYTES];
    Py_ssize_t lines_bytes = put_passed_back(head->headers, head->count, hidden, lines);
    Py_ssize_t more = (Py_ssize_t)(sizeof line + sizeof naming) - 2 + name_bytes + 4 + PyBytes_Size(more_lines);
    PyObject *sent = PyBytes_FromStringAndSize(NULL, more + lines_bytes + PyBytes_Size(own_lines) + size);
    if (sent == NULL)
        return NULL;
    char *to = PyBytes_AsString(sent);
    put(&to, line, sizeof line - 1);
    put(&to, lines, lines_bytes);
    put_bytes(&to, own_lines);
    put(&to, naming, sizeof naming - 1);
    put(&to, name, name_bytes);
    put(&to, "\r\n", 2);
    put_bytes(&to, more_lines);
    put(&to, "\r\n", 2);
    put(&to, body, size);
    return sent;
}

/* What the ledger is told; takes over `name` and `key`. */
static PyObject *row_of(PyObject *in_common, const Usage *usage, PyObject *name, PyObject *key, double wall, double seconds)
{
    static const int of_kind[KINDS] = {ROW_PROMPT_TOKENS, ROW_COMPLETION_TOKENS, ROW_CACHED_TOKENS};
    PyObject *fields[ROW_FIELDS] = {NULL};
    int is_whole = 1;
    fields[ROW_AT] = PyFloat_FromDouble(wall);
    fields[ROW_ID] = name;
    fields[ROW_KEY] = key;
    for (int kind = 0; kind < KINDS; kind++)
        if (usage->is_told[kind])
            is_whole &= (fields[of_kind[kind]] = PyLong_FromLongLong(usage->counts[kind])) != NULL;
    fields[ROW_QUEUE_US] = held(zero);
    fields[ROW_FIRST_US] = PyLong_FromLongLong((long long)(seconds * 1e6));
    if (fields[ROW_FIRST_US] != NULL)
        fields[ROW_TOTAL_US] = held(fields[ROW_FIRST_US]);
    PyObject *row = PyTuple_New(ROW_FIELDS);
    is_whole &= row != NULL && fields[ROW_AT] != NULL && fields[ROW_FIRST_US] != NULL;
    for (int i = 0; i < ROW_FIELDS; i++) {
        if (!is_whole)
            Py_XDECREF(fields[i]);
        else
            PyTuple_SetItem(row, i, fields[i] != NULL ? fields[i] : held(PyTuple_GetItem(in_common, i)));
    }
    if (!is_whole)
        Py_CLEAR(row);
    return row;
}

/* Tell the ledger, and let it be told later what somebody thought of the answer. -1 with an exception set. */
static int tell(Ways *ways, const Passage *passage, const Usage *usage, const char *named, int named_bytes, double seconds)
{
    const Lane *lane = (Lane *)passage->lane;
    double wall;
    PyObject *name = PyUnicode_FromStringAndSize(named, named_bytes);
    PyObject *key = name == NULL ? NULL : PyObject_GetAttr(passage->caller, word.name);
    if (key == NULL || seconds_of(PyObject_CallNoArgs(ways->time), &wall) < 0) {
        Py_XDECREF(name);
        Py_XDECREF(key);
        return -1;
    }
    int is_told = 0;
    if (lane->is_remembered) {
        const char *body = PyBytes_AsString(passage->data) + passage->head_bytes;
        Py_ssize_t size = PyBytes_Size(passage->data) - passage->head_bytes;
        PyObject *category = said_of(passage, CHOSEN_CATEGORY, lane->category);
        PyObject *kept = Py_BuildValue("(Oy#OOOO)", name, body, size, Py_None, lane->model, category, key);
        is_told = kept == NULL ? -1 : PyList_Append(ways->remembered, kept);
        Py_XDECREF(kept);
    }
    PyObject *row = row_of(said_of(passage, CHOSEN_ROW, lane->row), usage, name, key, wall, seconds);
    is_told = row == NULL || PyList_Append(ways->told, row) < 0 ? -1 : is_told;
    Py_XDECREF(row);
    return is_told;
}

static void count(Tally *tally, const Lane *lane, const Usage *usage, double seconds)
{
    int at = 0;
    tally->answered++;
    for (int kind = 0; kind < KINDS; kind++)
        tally->tokens[kind] += usage->counts[kind];
    while (at < lane->bounds - 1 && lane->bound[at] < seconds)
        at++;
    tally->within[at]++;
    tally->seconds += seconds;
}

/* The engine is free for the next request. -1 with an exception set. */
static int give_back(Ways *ways, Lane *lane, PyObject *ticket, double now)
{
    int was_passing = PySet_Discard(lane->passing, ticket);
    if (was_passing < 1)
        return was_passing < 0 ? -1 : done(PyObject_CallMethodObjArgs(ways->owner, word.leave, lane, ticket, NULL));
    PyObject *left = PyFloat_FromDouble(now);
    int is_set = left == NULL ? -1 : PyDict_SetItem(lane->passed, lane->model, left);
    Py_XDECREF(left);
    if (is_set < 0 || !lane->goes_when_idle || PySet_Size(lane->passing))
        return is_set;
    return done(PyObject_CallMethodObjArgs(ways->owner, word.rest, (PyObject *)lane, NULL));
}

/* All that is counted and told of a request that is over, and its ticket given back. */
static void finish(Ways *ways, const Passage *passage, const Usage *usage, const char *name, int name_bytes, double now)
{
    Lane *lane = (Lane *)passage->lane;
    double seconds = now - passage->asked_at;
    count(&lane->tally, lane, usage, seconds);
    tell_fault(tell(ways, passage, usage, name, name_bytes, seconds), ways->owner);
    tell_fault(add_to(lane->health, word.serving, -1), ways->owner);
    tell_fault(add_to(lane->load, word.in_flight, -1), ways->owner);
    tell_fault(give_back(ways, lane, passage->ticket, now), ways->owner);
    tell_fault(note(ways, lane), ways->owner);
    if (PyList_Size(ways->told) >= MOST_TOLD)
        tell_fault(done(PyObject_CallMethodObjArgs(ways->owner, word.settle, NULL)), ways->owner);
}

/* Pass an answer on, and end the request; 0 where it is not plain, and nothing has happened; -1 with an exception set. */
static int pass_back(Line *line, Client *client, Lane *lane, Ways *ways, PyObject *data)
{
    AnswerHead head;
    Usage usage;
    char *text, name[MOST_ID];
    Py_ssize_t size;
    double now, clock;
    if (PyBytes_AsStringAndSize(data, &text, &size) < 0)
        return -1;
    if (!ways->is_open || client->is_write_paused || !scan_answer(text, size, &head) || !has_plain_answer(&head, size))
        return 0;
    const char *body = text + head.bytes;
    Py_ssize_t body_bytes = size - head.bytes, tail_bytes = body_bytes < MOST_TAIL ? body_bytes : MOST_TAIL;
    const char *tail = body + body_bytes - tail_bytes;
    /* What tells how fast the engine was teaches the router. */
    if (holds(tail, tail_bytes, "\"timings\""))
        return 0;
    int is_kept = can_be_kept(line, lane);
    if (is_kept < 1)
        return is_kept;
    if (seconds_of(PyObject_CallNoArgs(ways->monotonic), &now) < 0 || seconds_of(PyObject_CallNoArgs(ways->clock), &clock) < 0)
        return -1;
    scan_usage(tail, tail_bytes, &usage);
    int name_bytes = put_name(ways, name);
    /* Nobody may have taken it over meanwhile. */
    if (line->passage.client != (PyObject *)client)
        return name_bytes < 0 ? -1 : 0;
    PyObject *spending = held(line->passage.spending), *own = held(said_of(&line->passage, CHOSEN_LINES, lane->lines));
    Py_ssize_t asked_bytes = PyBytes_Size(line->passage.data) - line->passage.head_bytes;
    PyObject *lines = name_bytes < 0 ? NULL : spent(ways, spending, &usage, asked_bytes);
    const Names *hidden = spending == Py_None ? NULL : &ways->limit_lines;
    PyObject *sent = lines == NULL ? NULL : to_client(own, &head, hidden, name, name_bytes, lines, body, body_bytes);
    Py_DECREF(own);
    Py_DECREF(spending);
    Py_XDECREF(lines);
    if (sent == NULL)
        return -1;
    if (line->passage.client != (PyObject *)client) {
        Py_DECREF(sent);
        return 0;
    }
    /* From here on it is over for both connections. */
    Passage passage = taken_from(line);
    line->is_used = 1;
    line->idle_since = clock;
    client->at = AT_HEAD;
    client->deadline = clock + ways->idle_seconds;
    tell_fault(PyList_Append(lane->kept, (PyObject *)line), ways->owner);
    tell_fault(done(PyObject_CallMethodObjArgs(client->transport, word.write, sent, NULL)), ways->owner);
    finish(ways, &passage, &usage, name, name_bytes, now);
    Py_DECREF(sent);
    drop(&passage);
    return 1;
}

static int answered(Line *line, PyObject *data)
{
    Ways *ways = ways_of((Client *)line->passage.client);
    if (ways == NULL)
        return 0;
    /* Whatever Python does meanwhile, they are here until this returns. */
    PyObject *client = held(line->passage.client), *lane = held(line->passage.lane);
    int is_over = pass_back(line, (Client *)client, (Lane *)lane, ways, data);
    Py_DECREF(lane);
    Py_DECREF(client);
    Py_DECREF(ways);
    return is_over;
}

/* The types. What they hold stands in a row, from the first to the last. */

#define HELD(object, from, to) &(object)->from, &(object)->to + 1

static int visit_all(PyObject *self, PyObject **at, PyObject **end, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (; at < end; at++)
        Py_VISIT(*at);
    return 0;
}

static int clear_all(PyObject **at, PyObject **end)
{
    for (; at < end; at++)
        Py_CLEAR(*at);
    return 0;
}

static void end_of(PyObject *self, PyObject **at, PyObject **end)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    PyObject_GC_UnTrack(self);
    clear_all(at, end);
    release(self);
    Py_DECREF(type);
}

#define KEEPS(Type, prefix, from, to)                                                          \
    static int prefix##_traverse(PyObject *self, visitproc visit, void *arg)                   \
    {                                                                                          \
        return visit_all(self, HELD((Type *)self, from, to), visit, arg);                      \
    }                                                                                          \
    static int prefix##_clear(PyObject *self) { return clear_all(HELD((Type *)self, from, to)); } \
    static void prefix##_dealloc(PyObject *self) { end_of(self, HELD((Type *)self, from, to)); }

KEEPS(Client, client, transport, line)
KEEPS(Line, line, transport, passage.choice)
KEEPS(Lane, lane, way, state)
KEEPS(Ways, ways, owner, noted)

PyDoc_STRVAR(client_data_received_doc,
    "data_received(data): begins a plain request; all else goes to `received`.");

static PyObject *client_data_received(PyObject *self, PyObject *data)
{
    Client *client = (Client *)self;
    Ways *ways = client->at == AT_HEAD && client->line == NULL ? ways_of(client) : NULL;
    int is_begun = 0;
    if (ways != NULL && ways->is_open && !client->is_write_paused && PyBytes_Check(data) && client->pending != NULL
        && PyBytes_Check(client->pending) && !PyBytes_Size(client->pending))
        is_begun = begin(client, ways, data);
    Py_XDECREF((PyObject *)ways);
    if (is_begun == 0)
        return PyObject_CallMethodObjArgs(self, word.received, data, NULL);
    if (is_begun < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef client_methods[] = {
    {"data_received", client_data_received, METH_O, client_data_received_doc}, {NULL, NULL, 0, NULL}};

static PyMemberDef client_members[] = {
    {"transport", T_OBJECT, offsetof(Client, transport), 0, NULL},
    {"_pending", T_OBJECT, offsetof(Client, pending), 0, NULL},
    {"ways", T_OBJECT, offsetof(Client, ways), 0, NULL},
    {"line", T_OBJECT, offsetof(Client, line), READONLY, NULL},
    {"_at", T_INT, offsetof(Client, at), 0, NULL},
    {"is_write_paused", T_BOOL, offsetof(Client, is_write_paused), 0, NULL},
    {"_deadline", T_DOUBLE, offsetof(Client, deadline), 0, NULL},
    {NULL, 0, 0, 0, NULL}};

PyDoc_STRVAR(line_data_received_doc,
    "data_received(data): passes a plain answer on; all else goes to `received`.");

static PyObject *line_data_received(PyObject *self, PyObject *data)
{
    Line *line = (Line *)self;
    int is_over = line->passage.client != NULL && PyBytes_Check(data) ? answered(line, data) : 0;
    if (is_over == 0)
        return PyObject_CallMethodObjArgs(self, word.received, data, NULL);
    if (is_over < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(line_hand_over_doc,
    "hand_over() -> (client, lane, caller, data, sent, ticket, spending, choice, asked_at) of the plain request that it\n"
    "carries, and carries no more.");

static PyObject *line_hand_over(PyObject *self, PyObject *ignored)
{
    Line *line = (Line *)self;
    (void)ignored;
    if (line->passage.client == NULL) {
        PyErr_SetString(PyExc_ValueError, "it carries no plain request");
        return NULL;
    }
    Passage passage = taken_from(line);
    return Py_BuildValue("(NNNNNNNNd)", passage.client, passage.lane, passage.caller, passage.data, passage.sent,
                         passage.ticket, passage.spending, passage.choice, passage.asked_at);
}

static PyMethodDef line_methods[] = {
    {"data_received", line_data_received, METH_O, line_data_received_doc},
    {"hand_over", line_hand_over, METH_NOARGS, line_hand_over_doc},
    {NULL, NULL, 0, NULL}};

static PyMemberDef line_members[] = {
    {"transport", T_OBJECT, offsetof(Line, transport), 0, NULL},
    {"client", T_OBJECT, offsetof(Line, passage.client), READONLY, NULL},
    {"idle_since", T_DOUBLE, offsetof(Line, idle_since), 0, NULL},
    {"is_used", T_BOOL, offsetof(Line, is_used), 0, NULL},
    {NULL, 0, 0, 0, NULL}};

static int is_made(PyObject *first)
{
    if (first != NULL)
        PyErr_SetString(PyExc_TypeError, "it is made already");
    return first != NULL;
}

static int take_bounds(Lane *lane, PyObject *bounds)
{
    Py_ssize_t count = PyTuple_Size(bounds);
    if (count < 1 || count > MOST_BOUNDS) {
        PyErr_SetString(PyExc_ValueError, "too many bounds, or none");
        return -1;
    }
    lane->bounds = (int)count;
    for (int i = 0; i < lane->bounds; i++) {
        lane->bound[i] = PyFloat_AsDouble(PyTuple_GetItem(bounds, i));
        if (PyErr_Occurred())
            return -1;
    }
    return 0;
}

PyDoc_STRVAR(lane_doc,
    "How plain requests for one model at one path go: see plain.py, which makes it.");

static int lane_init(PyObject *self, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"way", "model", "category", "head", "name", "lines", "kept", "passing", "passed", "load", "health",
                            "row", "bounds", "most_bytes", "most_kept", "has_messages", "is_blind", "is_remembered",
                            "goes_when_idle", NULL};
    Lane *lane = (Lane *)self;
    PyObject *bounds;
    if (is_made(lane->way))
        return -1;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, named, "OUOSOSO!O!O!OOO!O!nnpppp", names, &lane->way, &lane->model, &lane->category, &lane->head,
            &lane->name, &lane->lines, &PyList_Type, &lane->kept, &PySet_Type, &lane->passing, &PyDict_Type, &lane->passed,
            &lane->load, &lane->health, &PyTuple_Type, &lane->row, &PyTuple_Type, &bounds, &lane->most_bytes,
            &lane->most_kept, &lane->has_messages, &lane->is_blind, &lane->is_remembered, &lane->goes_when_idle)) {
        memset(&lane->way, 0, offsetof(Lane, state) - offsetof(Lane, way));
        return -1;
    }
    for (PyObject **at = &lane->way; at <= &lane->row; at++)
        Py_INCREF(*at);
    if ((lane->name != Py_None && !PyBytes_Check(lane->name)) || PyTuple_Size(lane->row) != ROW_FIELDS) {
        PyErr_SetString(PyExc_TypeError, "name is no bytes, or row no Served");
        return -1;
    }
    return take_bounds(lane, bounds);
}

PyDoc_STRVAR(lane_fit_doc, "fit(state, room): while the pool's state is this one, so many requests may be under way.");

static PyObject *lane_fit(PyObject *self, PyObject *arguments)
{
    Lane *lane = (Lane *)self;
    PyObject *state, *before = lane->state;
    if (!PyArg_ParseTuple(arguments, "On", &state, &lane->room))
        return NULL;
    lane->state = held(state);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(lane_take_doc,
    "take() -> (begun, answered, (prompt, completion, cached tokens), [count within each bound..., seconds in all]) since the\n"
    "last call.");

static PyObject *lane_take(PyObject *self, PyObject *ignored)
{
    Lane *lane = (Lane *)self;
    Tally tally = lane->tally;
    (void)ignored;
    PyObject *within = PyList_New(lane->bounds + 1);
    for (int i = 0; i <= lane->bounds && within != NULL; i++) {
        PyObject *count = i < lane->bounds ? PyLong_FromLongLong(tally.within[i]) : PyFloat_FromDouble(tally.seconds);
        if (count == NULL || PyList_SetItem(within, i, count) < 0)
            Py_CLEAR(within);
    }
    if (within == NULL)
        return NULL;
    memset(&lane->tally, 0, sizeof lane->tally);
    lane->is_noted = 0;
    return Py_BuildValue("(LL(LLL)N)", tally.begun, tally.answered, tally.tokens[PROMPTED], tally.tokens[COMPLETED],
                         tally.tokens[CACHED], within);
}

static PyMethodDef lane_methods[] = {
    {"fit", lane_fit, METH_VARARGS, lane_fit_doc}, {"take", lane_take, METH_NOARGS, lane_take_doc}, {NULL, NULL, 0, NULL}};

static PyMemberDef lane_members[] = {{"way", T_OBJECT, offsetof(Lane, way), READONLY, NULL}, {NULL, 0, 0, 0, NULL}};

PyDoc_STRVAR(ways_doc, "What all lanes share: see plain.py, which makes it.");

static int ways_init(PyObject *self, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"owner", "guard", "callers", "pool", "lanes", "numbers", "tickets", "run", "clock", "monotonic",
                            "time", "told", "remembered", "noted", "limit_lines", NULL};
    Ways *ways = (Ways *)self;
    PyObject *limit_lines;
    if (is_made(ways->owner))
        return -1;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, named, "OOO!OO!OOSOOOO!O!O!O", names, &ways->owner, &ways->guard, &PyDict_Type, &ways->callers,
            &ways->pool, &PyDict_Type, &ways->lanes, &ways->numbers, &ways->tickets, &ways->run, &ways->clock,
            &ways->monotonic, &ways->time, &PyList_Type, &ways->told, &PyList_Type, &ways->remembered, &PyList_Type,
            &ways->noted, &limit_lines)) {
        memset(&ways->owner, 0, offsetof(Ways, limit_lines) - offsetof(Ways, owner));
        return -1;
    }
    for (PyObject **at = &ways->owner; at <= &ways->noted; at++)
        Py_INCREF(*at);
    if (!PyIter_Check(ways->numbers) || !PyIter_Check(ways->tickets) || PyBytes_Size(ways->run) > MOST_ID - 20) {
        PyErr_SetString(PyExc_TypeError, "numbers and tickets are no iterators, or run is too long");
        return -1;
    }
    return take_names(limit_lines, &ways->limit_lines);
}

PyDoc_STRVAR(ways_open_doc,
    "open(most_bytes, idle_seconds): take plain requests of so many bytes at most; clients may be idle for so long.");

static PyObject *ways_open(PyObject *self, PyObject *arguments)
{
    Ways *ways = (Ways *)self;
    if (!PyArg_ParseTuple(arguments, "nd", &ways->most_bytes, &ways->idle_seconds))
        return NULL;
    if (ways->most_bytes > MOST_BODY)
        ways->most_bytes = MOST_BODY;
    ways->is_open = 1;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(ways_close_doc, "close(): nothing is plain any more; what is on its way is handed over with its answer.");

static PyObject *ways_close(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    ((Ways *)self)->is_open = 0;
    Py_RETURN_NONE;
}

static PyMethodDef ways_methods[] = {
    {"open", ways_open, METH_VARARGS, ways_open_doc}, {"close", ways_close, METH_NOARGS, ways_close_doc}, {NULL, NULL, 0, NULL}};

static PyMemberDef ways_members[] = {{"owner", T_OBJECT, offsetof(Ways, owner), READONLY, NULL}, {NULL, 0, 0, 0, NULL}};

#define SLOTS(prefix, ...)                                                                                         \
    static PyType_Slot prefix##_slots[] = {                                                                        \
        {Py_tp_traverse, (void *)prefix##_traverse}, {Py_tp_clear, (void *)prefix##_clear},                        \
        {Py_tp_dealloc, (void *)prefix##_dealloc},   {Py_tp_members, prefix##_members},                            \
        {Py_tp_methods, prefix##_methods},           __VA_ARGS__ {0, NULL}};

SLOTS(client, )
SLOTS(line, )
SLOTS(lane, {Py_tp_doc, (void *)lane_doc}, {Py_tp_init, (void *)lane_init}, )
SLOTS(ways, {Py_tp_doc, (void *)ways_doc}, {Py_tp_init, (void *)ways_init}, )

static PyTypeObject *add_type(PyObject *module, const char *name, int size, PyType_Slot *slots, unsigned int more)
{
    PyType_Spec spec = {name, size, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | more, slots};
    PyObject *type = PyType_FromSpec(&spec);
    if (type != NULL && PyModule_AddObjectRef(module, strrchr(name, '.') + 1, type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

int add_plain(PyObject *module)
{
    static const struct {
        PyObject **to;
        const char *text;
    } words[] = {
        {&word.admit, "admit"}, {&word.choose, "choose"}, {&word.unused, "unused"}, {&word.drop, "drop"},
        {&word.spent, "spent"}, {&word.expires, "expires"}, {&word.find, "find"}, {&word.get_write_buffer_size, "get_write_buffer_size"},
        {&word.in_flight, "in_flight"}, {&word.is_closing, "is_closing"}, {&word.is_limited, "is_limited"},
        {&word.is_open, "is_open"}, {&word.looked_at, "looked_at"}, {&word.models, "models"}, {&word.name, "name"},
        {&word.received, "received"}, {&word.renew, "renew"}, {&word.rest, "rest"}, {&word.leave, "leave"},
        {&word.serving, "serving"}, {&word.settle, "settle"}, {&word.settle_soon, "settle_soon"},
        {&word.state, "glance"}, {&word.used_at, "used_at"}, {&word.write, "write"}, {NULL, NULL}};
    for (int i = 0; words[i].to != NULL; i++)
        if ((*words[i].to = PyUnicode_InternFromString(words[i].text)) == NULL)
            return -1;
    if ((zero = PyLong_FromLong(0)) == NULL)
        return -1;
    client_type = add_type(module, "weighbridge.Client", sizeof(Client), client_slots, Py_TPFLAGS_BASETYPE);
    line_type = add_type(module, "weighbridge.Line", sizeof(Line), line_slots, Py_TPFLAGS_BASETYPE);
    lane_type = add_type(module, "weighbridge.Lane", sizeof(Lane), lane_slots, 0);
    ways_type = add_type(module, "weighbridge.Ways", sizeof(Ways), ways_slots, 0);
    return client_type != NULL && line_type != NULL && lane_type != NULL && ways_type != NULL ? 0 : -1;
}
