/* A client that costs little, for measuring what it calls: one thread, epoll, kept connections in a closed loop.

   load_client PORT PATH CONNECTIONS SECONDS BODY_FILE json|sse [MOST_REQUESTS]

   Prints one JSON object: requests, errors, seconds, latency percentiles in microseconds, and for sse the pieces, how
   long each was on its way by the stamp that mock_upstream put into it, and the time to the first. */
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

enum { PIECES = 100 };
enum reading { HEAD, LENGTH, CHUNK_SIZE, CHUNK, CHUNK_END, LAST_LINE, REST };

struct connection {
    int fd, status, pieces, stamp_size, line_size;
    enum reading reading;
    char head[16384], stamp[20];
    size_t head_size;
    unsigned long long left;
    uint64_t sent_ns;
};

struct times { uint32_t *tenths_us; size_t count, room; };

static struct times latency, transit, first;
static unsigned long done, errors, reconnects, pieces;
static int poller, is_sse, is_measuring;
static char *request;
static size_t request_size;
static struct sockaddr_in address;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void note(struct times *t, uint64_t ns) {
    if (!is_measuring && t != &first) return; /* of a slow stream the first piece comes while all warm up */
    if (t->count == t->room) t->tenths_us = realloc(t->tenths_us, (t->room = t->room ? t->room * 2 : 65536) * 4);
    t->tenths_us[t->count++] = ns / 100 > UINT32_MAX ? UINT32_MAX : ns / 100;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile(struct times *t, double part) {
    return t->count ? t->tenths_us[(size_t)(part * (t->count - 1))] / 10.0 : -1;
}

static void connect_(struct connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    if (connect(c->fd, (void *)&address, sizeof address)) { perror("load_client"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void ask(struct connection *c) {
    c->reading = HEAD;
    c->head_size = c->pieces = 0;
    c->stamp_size = -1;
    c->sent_ns = now_ns();
    for (size_t sent = 0; sent < request_size;) {
        ssize_t more = send(c->fd, request + sent, request_size - sent, MSG_NOSIGNAL);
        if (more > 0) { sent += more; continue; }
        reconnects++;
        close(c->fd);
        connect_(c);
        sent = 0;
        c->sent_ns = now_ns();
    }
}

static void finish(struct connection *c, int is_whole) {
    if (!is_measuring) return;
    if (is_whole && c->status == 200 && (!is_sse || c->pieces == PIECES)) {
        done++;
        note(&latency, now_ns() - c->sent_ns);
    } else {
        errors++;
    }
}

/* Find the stamps, which may be cut anywhere. */
static void scan(struct connection *c, const char *data, size_t size) {
    uint64_t now = now_ns();
    for (size_t i = 0; i < size; i++) {
        if (c->stamp_size < 0) {
            const char *at = memchr(data + i, '@', size - i);
            if (!at) return;
            i = at - data;
            c->stamp_size = 0;
        } else if (data[i] < '0' || data[i] > '9') {
            c->stamp_size = -1;
        } else {
            c->stamp[c->stamp_size++] = data[i];
            if (c->stamp_size < 19) continue;
            c->stamp[19] = 0;
            c->stamp_size = -1;
            if (!c->pieces++) note(&first, now - c->sent_ns);
            if (is_measuring) pieces++;
            note(&transit, now - strtoull(c->stamp, NULL, 10));
        }
    }
}

/* Read some of an answer; returns whether it is whole. */
static int read_head(struct connection *c, const char **data, size_t *size) {
    size_t before = c->head_size, taken = sizeof c->head - 1 - before;
    if (taken > *size) taken = *size;
    memcpy(c->head + before, *data, taken);
    c->head[c->head_size += taken] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) { *size = 0; return 0; }
    taken = end + 4 - c->head - before;
    *data += taken;
    *size -= taken;
    end[2] = 0;
    c->status = atoi(c->head + 9);
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->left = length ? strtoull(length + 17, NULL, 10) : 0;
    c->line_size = 0;
    c->reading = length ? LENGTH : strcasestr(c->head, "chunked") ? CHUNK_SIZE : REST;
    return c->reading == LENGTH && !c->left;
}

static int digit(char sign) {
    return sign >= '0' && sign <= '9' ? sign - '0' : (sign | 32) >= 'a' && (sign | 32) <= 'f' ? (sign | 32) - 'a' + 10 : -1;
}

static int take(struct connection *c, const char *data, size_t size) {
    while (size) {
        size_t part = size < c->left ? size : c->left;
        switch (c->reading) {
        case HEAD:
            if (read_head(c, &data, &size)) return 1;
            continue;
        case LENGTH: case CHUNK: case REST:
            if (c->reading == REST) part = size;
            if (is_sse) scan(c, data, part);
            if (c->reading != REST && !(c->left -= part)) {
                if (c->reading == LENGTH) return 1;
                c->reading = CHUNK_END;
            }
            break;
        case CHUNK_SIZE:
            part = 1;
            if (*data == '\n') {
                c->reading = c->left ? CHUNK : LAST_LINE;
            } else if (digit(*data) >= 0) {
                c->left = c->left * 16 + digit(*data);
            }
            break;
        case CHUNK_END: case LAST_LINE:
            part = 1;
            if (*data != '\n') break;
            if (c->reading == LAST_LINE) return 1;
            c->reading = CHUNK_SIZE;
            break;
        }
        data += part;
        size -= part;
    }
    return 0;
}

int main(int count, char **arguments) {
    if (count < 7) { fprintf(stderr, "usage: load_client PORT PATH CONNECTIONS SECONDS BODY_FILE json|sse [MOST]\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    int port = atoi(arguments[1]), width = atoi(arguments[3]);
    double seconds = atof(arguments[4]);
    unsigned long most = count > 7 ? strtoul(arguments[7], NULL, 10) : 0;
    is_sse = !strcmp(arguments[6], "sse");
    FILE *file = fopen(arguments[5], "rb");
    if (!file) { perror(arguments[5]); return 1; }
    char *body = malloc(16 << 20);
    size_t body_size = fread(body, 1, 16 << 20, file);
    fclose(file);
    request = malloc(body_size + 1024);
    request_size = sprintf(request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                           "Authorization: Bearer sk-bench\r\nUser-Agent: load\r\nAccept: */*\r\nContent-Length: %zu\r\n\r\n",
                           arguments[2], port, body_size);
    memcpy(request + request_size, body, body_size);
    request_size += body_size;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    poller = epoll_create1(0);
    struct connection *all = calloc(width, sizeof *all);
    for (int i = 0; i < width; i++) { connect_(&all[i]); ask(&all[i]); }
    uint64_t begin = now_ns() + (uint64_t)(most ? 0 : 0.15 * seconds * 1e9), finish_at = begin + (uint64_t)(seconds * 1e9), now;
    static char buffer[1 << 18];
    struct epoll_event events[1024];
    while ((now = now_ns()) < finish_at && !(most && done + errors >= most)) {
        is_measuring = now >= begin;
        int ready = epoll_wait(poller, events, 1024, 20);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t got = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) {
                finish(c, c->reading == REST);
                reconnects++;
                close(c->fd);
                connect_(c);
                ask(c);
            } else if (take(c, buffer, got)) {
                finish(c, 1);
                ask(c);
            }
        }
    }
    double took = (now_ns() - begin) / 1e9;
    struct times *each[] = {&latency, &transit, &first};
    for (int i = 0; i < 3; i++) qsort(each[i]->tenths_us, each[i]->count, 4, by_size);
    printf("{\"requests\": %lu, \"errors\": %lu, \"reconnects\": %lu, \"seconds\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"pieces\": %lu, \"transit_p50_us\": %.1f, \"transit_p99_us\": %.1f, \"first_p50_us\": %.1f, \"first_p99_us\": %.1f}\n",
           done, errors, reconnects, took, percentile(&latency, .5), percentile(&latency, .99), pieces,
           percentile(&transit, .5), percentile(&transit, .99), percentile(&first, .5), percentile(&first, .99));
    return 0;
}
