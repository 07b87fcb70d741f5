/* A mock engine that costs next to nothing, for measuring what stands before it: one thread, epoll, 127.0.0.1.

   mock_upstream PORT

   A POST with "stream": true is answered by server-sent events: a role, 100 pieces, each sent by its own send() and
   stamped "@<19 digits>" with CLOCK_MONOTONIC's nanoseconds, an end with usage, [DONE]. Any other POST gets 1 KB of JSON.
   A model named "...-pN" paces its pieces N microseconds apart; without that they come as fast as they can, by turns.
   GET answers what was counted, and /v1/models which there are. Bodies need a Content-Length. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECES = 100, EVENTS = 512 };

struct connection {
    int fd, is_streaming, is_dead, piece;
    char *in, *out;
    size_t in_size, in_room, out_begin, out_end, out_room;
    uint64_t due_ns, pace_ns;
    struct connection *before, *after; /* among those that stream */
};

static int poller;
static struct connection streams = {.before = &streams, .after = &streams};
static struct connection *dead[65536];
static int dead_count;
static unsigned long requests, streamed, aborted, connections;
static char answer[4096];
static size_t answer_size;

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    "Transfer-Encoding: chunked\r\n\r\n";
static const char CHUNK[] =
    "data: {\"id\":\"chatcmpl-mock0000000000000000001\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"
    "\"model\":\"mock\",\"system_fingerprint\":\"fp_mock\",\"choices\":[{\"index\":0,\"delta\":";

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void watch(struct connection *c, int output) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (output ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void stop_streaming(struct connection *c) {
    if (!c->is_streaming) return;
    c->is_streaming = 0;
    c->before->after = c->after;
    c->after->before = c->before;
}

static void end(struct connection *c) {
    if (c->is_dead) return;
    c->is_dead = 1;
    aborted += c->is_streaming;
    stop_streaming(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    dead[dead_count++] = c; /* freed after this round's events, which may still name it */
}

static void put(struct connection *c, const char *data, size_t size) {
    if (c->is_dead) return;
    if (c->out_begin == c->out_end) {
        ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
        if (sent == (ssize_t)size) return;
        if (sent < 0 && errno != EAGAIN) { end(c); return; }
        if (sent > 0) { data += sent; size -= sent; }
        c->out_begin = c->out_end = 0;
    }
    if (c->out_end + size > c->out_room) c->out = realloc(c->out, c->out_room = (c->out_end + size) * 2);
    memcpy(c->out + c->out_end, data, size);
    c->out_end += size;
    watch(c, 1);
}

static void flush(struct connection *c) {
    while (c->out_begin < c->out_end) {
        ssize_t sent = send(c->fd, c->out + c->out_begin, c->out_end - c->out_begin, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) end(c);
            return;
        }
        c->out_begin += sent;
    }
    c->out_begin = c->out_end = 0;
    watch(c, 0);
}

static void send_piece(struct connection *c) {
    char event[1024], framed[1200];
    int size;
    if (c->piece == 0)
        size = sprintf(event, "%s{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n", CHUNK);
    else if (c->piece <= PIECES)
        size = sprintf(event, "%s{\"content\":\"@%019llu tok \"},\"logprobs\":null,\"finish_reason\":null}]}\n\n", CHUNK,
                       (unsigned long long)now_ns());
    else
        size = sprintf(event, "%s{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":500,"
                       "\"completion_tokens\":100,\"total_tokens\":600}}\n\ndata: [DONE]\n\n", CHUNK);
    int is_last = c->piece++ > PIECES;
    int framed_size = sprintf(framed, "%x\r\n%s\r\n%s", size, event, is_last ? "0\r\n\r\n" : "");
    if (is_last) stop_streaming(c);
    put(c, framed, framed_size);
}

static void reply(struct connection *c, const char *head, const char *body, size_t size) {
    requests++;
    if (head[0] == 'G') {
        char text[256], whole[512];
        int length = memmem(head, 20, "/v1/models", 10)
            ? sprintf(text, "{\"data\":[{\"id\":\"mock\",\"max_model_len\":4096},"
                            "{\"id\":\"mock-p20000\",\"max_model_len\":4096}]}")
            : sprintf(text, "{\"requests\":%lu,\"streams\":%lu,\"aborted\":%lu,\"connections\":%lu}", requests,
                      streamed, aborted, connections);
        put(c, whole, sprintf(whole, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                              length, text));
        return;
    }
    /* The bodies that are sent here name the model first, and `stream` last; gateways that write them anew leave blanks
       away, have fields of their own behind, or another order. */
    size_t looked_at = size < 200 ? size : 200, at_end = size < 600 ? size : 600;
    const char *stream = memmem(body + size - at_end, at_end, "\"stream\":", 9);
    if (stream && stream + 9 < body + size && stream[9] == ' ') stream++;
    if (!stream || body + size - stream < 13 || memcmp(stream + 9, "true", 4)) { put(c, answer, answer_size); return; }
    const char *pace = memmem(body, looked_at, "mock-p", 6);
    if (!pace) pace = memmem(body + size - at_end, at_end, "mock-p", 6);
    streamed++;
    c->pace_ns = pace ? strtoull(pace + 6, NULL, 10) * 1000 : 0;
    put(c, STREAM_HEAD, sizeof STREAM_HEAD - 1);
    if (c->is_dead) return;
    c->is_streaming = 1;
    c->piece = 0;
    c->due_ns = now_ns();
    c->before = streams.before;
    c->after = &streams;
    streams.before->after = c;
    streams.before = c;
}

static void take(struct connection *c) {
    while (!c->is_dead && !c->is_streaming && c->in_size) {
        char *head_end = memmem(c->in, c->in_size, "\r\n\r\n", 4);
        if (!head_end) return;
        *head_end = 0;
        char *length = strcasestr(c->in, "\r\ncontent-length:");
        size_t body_size = length ? strtoul(length + 17, NULL, 10) : 0, head_size = head_end - c->in + 4;
        *head_end = '\r';
        if (c->in_size < head_size + body_size) return;
        reply(c, c->in, c->in + head_size, body_size);
        if (c->is_dead) return;
        c->in_size -= head_size + body_size;
        memmove(c->in, c->in + head_size + body_size, c->in_size);
    }
}

static void receive(struct connection *c) {
    for (;;) {
        if (c->in_room - c->in_size < 65536) c->in = realloc(c->in, c->in_room = c->in_room * 2 + 131072);
        size_t room = c->in_room - c->in_size;
        ssize_t got = recv(c->fd, c->in + c->in_size, room, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) { end(c); return; }
        if (got > 0) c->in_size += got;
        if (got < (ssize_t)room) break;
    }
    take(c);
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        connections++;
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

/* Send what is due, one piece for each stream; returns the nanoseconds until the next is, UINT64_MAX for none. */
static uint64_t stream_on(void) {
    uint64_t now = now_ns(), next = UINT64_MAX;
    for (struct connection *c = streams.after, *following; c != &streams; c = following) {
        following = c->after;
        if (c->out_begin < c->out_end) continue; /* its reader is slow */
        if (c->due_ns <= now) {
            c->due_ns += c->pace_ns;
            send_piece(c);
            if (!c->is_dead && !c->is_streaming) take(c);
        }
        if (!c->is_dead && c->is_streaming && c->out_begin == c->out_end) {
            uint64_t wait = c->pace_ns == 0 || c->due_ns <= now ? 0 : c->due_ns - now;
            if (wait < next) next = wait;
        }
    }
    return next;
}

int main(int count, char **arguments) {
    if (count != 2) { fprintf(stderr, "usage: mock_upstream PORT\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    char body[2048];
    int size = sprintf(body, "{\"id\":\"chatcmpl-mock0000000000000000001\",\"object\":\"chat.completion\",\"created\":1760000000,"
                       "\"model\":\"mock\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    while (size < 800) size += sprintf(body + size, "The quick brown fox jumps over the lazy dog. ");
    size += sprintf(body + size, "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":500,\"completion_tokens\":100,"
                    "\"total_tokens\":600},\"system_fingerprint\":\"fp_mock\"}");
    answer_size = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", size, body);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) { perror("mock_upstream"); return 1; }
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        uint64_t wait_ns = stream_on();
        struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
        int ready = epoll_pwait2(poller, events, EVENTS, wait_ns == UINT64_MAX ? NULL : &wait, NULL);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) { accept_all(listener); continue; }
            if (!c->is_dead && events[i].events & EPOLLOUT) flush(c);
            if (!c->is_dead && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) receive(c);
        }
        while (dead_count) free(dead[--dead_count]);
    }
}
