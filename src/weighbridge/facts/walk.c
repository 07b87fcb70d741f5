/* Passing over what a GGUF header lists by the hundred thousand. The bytes are a stranger's: nothing is read outside
 * buffer[at, end), and no sum of lengths may wrap. Python keeps every judgement: what does not lie whole in the buffer,
 * or looks unusual, ends the walk there, and gguf.py goes on from that byte. Its caller has 0 <= at <= end. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LENGTH = 8,          /* bytes of the length before a string */
    LANES = 6,           /* pieces that are walked side by side */
    SHORT = 63,          /* as most strings of a vocabulary are; 2^n - 1 */
    LEAST_STRETCH = 4096 /* what is worth being cut in pieces */
};

/* The length at p. Written out, because compilers make a single load of it so. */
static inline uint64_t length(const unsigned char *p, int big) {
    if (big)
        return (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 | (uint64_t)p[3] << 32 |
               (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 | (uint64_t)p[6] << 8 | (uint64_t)p[7];
    return (uint64_t)p[7] << 56 | (uint64_t)p[6] << 48 | (uint64_t)p[5] << 40 | (uint64_t)p[4] << 32 |
           (uint64_t)p[3] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[1] << 8 | (uint64_t)p[0];
}

/* Where the string at `at` ends, or 0 if it does not lie whole before `end`. */
static inline size_t after(const unsigned char *buffer, size_t at, size_t end, int big) {
    if (end - at < LENGTH)
        return 0;
    uint64_t size = length(buffer + at, big);
    return size > end - at - LENGTH ? 0 : at + LENGTH + (size_t)size;
}

static inline size_t one_by_one(const unsigned char *buffer, size_t at, size_t end, uint64_t *left, int big) {
    size_t next;
    while (*left && (next = after(buffer, at, end, big))) {
        at = next;
        --*left;
    }
    return at;
}

/* Each string is found only behind the one before, so each costs the time to fetch a length. A stretch is therefore
 * cut in pieces, each at a place where a string seems to begin, and the pieces are walked side by side. Where the walk
 * through a piece ends just on the next one's begin, that begin is proven, and what was passed there is counted.
 * Returns where the proven part ends: `at` itself where nothing could be cut. */
static inline size_t side_by_side(const unsigned char *buffer, size_t at, size_t end, uint64_t *left, int big) {
    size_t stretch = end - at, place[LANES], stop[LANES];
    uint64_t passed[LANES] = {0}, together = 0;
    if (stretch / LENGTH > *left)
        stretch = (size_t)*left * LENGTH; /* so that no more than `left` strings lie in it */
    if (stretch < LEAST_STRETCH)
        return at;
    place[0] = at;
    stop[LANES - 1] = at + stretch - LENGTH + 1;
    for (int i = 1; i < LANES; i++) {
        size_t guess = at + stretch / LANES * (size_t)i, most = guess + 256;
        while (guess < most && length(buffer + guess, big) > 255)
            guess++;
        if (guess == most)
            return at;
        place[i] = stop[i - 1] = guess;
    }
    for (int all = 1; all;) {
        size_t steps = SIZE_MAX; /* so many short strings are left in each piece at least */
        for (int i = 0; i < LANES; i++) {
            size_t safe = place[i] < stop[i] ? (stop[i] - place[i]) / (LENGTH + SHORT) : 0;
            steps = safe < steps ? safe : steps;
        }
        for (; steps; steps--) {
            uint64_t size[LANES], any = 0;
            for (int i = 0; i < LANES; i++)
                any |= size[i] = length(buffer + place[i], big);
            if (any > SHORT)
                break;
            for (int i = 0; i < LANES; i++)
                place[i] += LENGTH + (size_t)size[i];
            together++;
        }
        /* A step that looks where it goes, for longer strings and near an end; a piece that cannot ends all this. */
        for (int i = 0; i < LANES; i++) {
            size_t next = place[i] < stop[i] ? after(buffer, place[i], end, big) : 0;
            place[i] = next ? next : place[i];
            passed[i] += next != 0;
            all &= next != 0;
        }
    }
    for (int i = 0; i < LANES; i++) {
        size_t next;
        while (place[i] < stop[i] && (next = after(buffer, place[i], end, big))) {
            place[i] = next;
            passed[i]++;
        }
        *left -= together + passed[i];
        at = place[i];
        if (at != stop[i])
            break;
    }
    return at;
}

static inline size_t walk(const unsigned char *buffer, size_t at, size_t end, uint64_t *left, int big) {
    size_t next;
    while ((next = side_by_side(buffer, at, end, left, big)) != at)
        at = next;
    return one_by_one(buffer, at, end, left, big);
}

/* Passes over up to `*left` strings that lie whole in the buffer; returns where the next one begins. */
size_t weighbridge_walk(const unsigned char *buffer, size_t at, size_t end, uint64_t *left, int big) {
    return big ? walk(buffer, at, end, left, 1) : walk(buffer, at, end, left, 0);
}

enum {
    LONGEST_NAME = 63, /* as ggml has them */
    MOST_DIMENSIONS = 4,
    FORMS = 64 /* a model repeats some ten; beyond these, equal ones are no longer told */
};

/* The number of dimensions at p, or more than MOST_DIMENSIONS. */
static inline unsigned dimensions(const unsigned char *p, int big) {
    unsigned high = big ? p[0] | p[1] | p[2] : p[1] | p[2] | p[3];
    return high ? 255 : big ? p[3] : p[0];
}

static inline int is_plain(const unsigned char *name, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (name[i] < 0x20 || name[i] > 0x7e)
            return 0;
    return 1;
}

/* Passes over up to `*left` tensors in the list of tensors, as long as they lie whole in the buffer and have a plain
 * name; returns where the next one begins. Of each it tells the offset and where its form stands (dimensions, shape and
 * type), equal forms by the same place, so that Python judges each form once. `names` takes a line for each, and has
 * LONGEST_NAME + 1 bytes for it, and one more. */
size_t weighbridge_tensors(const unsigned char *buffer, size_t at, size_t end, uint64_t *left, int big,
                           uint64_t *offsets, uint64_t *forms, char *names) {
    size_t known[FORMS], known_count = 0;
    for (; *left; --*left) {
        size_t rest = end - at, name, name_size, form, form_size, i = 0;
        if (rest < LENGTH + 4 || length(buffer + at, big) - 1 >= LONGEST_NAME)
            break;
        name = at + LENGTH;
        name_size = (size_t)length(buffer + at, big);
        form = name + name_size;
        if (rest < LENGTH + name_size + 4 || dimensions(buffer + form, big) > MOST_DIMENSIONS)
            break;
        form_size = 4 + 8 * dimensions(buffer + form, big) + 4;
        if (rest < LENGTH + name_size + form_size + 8 || !is_plain(buffer + name, name_size))
            break;
        /* The number of dimensions is compared first, and with it how long the other form is. */
        while (i < known_count && memcmp(buffer + known[i], buffer + form, form_size))
            i++;
        if (i == known_count && i < FORMS)
            known[known_count++] = form;
        *forms++ = i < FORMS ? known[i] : form;
        *offsets++ = length(buffer + form + form_size, big);
        memcpy(names, buffer + name, name_size);
        names += name_size;
        *names++ = '\n';
        at = form + form_size + 8;
    }
    *names = 0;
    return at;
}
