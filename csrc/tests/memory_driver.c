/* Reads memory by each way: good and bad addresses, one range and many. */
#define _GNU_SOURCE
#define DRIVER "memory_driver"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "fake_gil.h"

/* Nothing is at these addresses, or not at the end of eight bytes from them on. */
static const uintptr_t BAD[] = {
    0,
    8,
    4095,
    UINTPTR_MAX - 7,
    UINTPTR_MAX / 2 - 7,
    UINTPTR_MAX / 2 - 3,
    (uintptr_t)1 << 63,
    0x7ffffffff000,
    0x7fffffffeffc,
    0x800000000000,
    0x100000000000000,
};
enum { BAD_ONES = sizeof(BAD) / sizeof(BAD[0]) };

/* Differs from page to page, and from byte to byte. */
static unsigned char known[GILX_MOST_COPIED + 1];
static unsigned char copy[GILX_MOST_COPIED + 1];

static gilx_range part(size_t start, size_t size) {
    return (gilx_range){.from = (uintptr_t)&known[start], .size = size};
}

/* Copy to a place that is not aligned. Returns how many bytes are right there, which are
 * as many as are said to have arrived; no more than `most` were touched. */
static size_t copied(gilx_memory *memory, const gilx_range *ranges, int count,
                     size_t most) {
    static const unsigned char UNTOUCHED = 0xee;
    memset(copy, UNTOUCHED, sizeof(copy));
    const size_t arrived = gilx_memory_copy(memory, ranges, count, copy + 1);
    size_t right = 0;
    for (int i = 0; i < count && right < arrived; ++i) {
        size_t size = ranges[i].size;
        size = size < arrived - right ? size : arrived - right;
        expect(size == 0 ||
                   memcmp(&copy[1 + right], (const void *)ranges[i].from, size) == 0,
               "what arrives is what is there");
        right += size;
    }
    expect(right == arrived, "no more arrives than there is");
    for (size_t i = most; i < GILX_MOST_COPIED; ++i) {
        expect(copy[1 + i] == UNTOUCHED, "nothing is written beyond it");
    }
    return arrived;
}

static void ranges_are_copied_in_order(gilx_memory *memory) {
    const gilx_range mixed[] = {
        part(5000, 300), part(4000, 200),
        part(5000, 300), part(4095, 2), /* in two pages */
        part(0, 9000),   part(7, 1),
    };
    expect(copied(memory, mixed, 6, 9803) == 9803, "all arrive");
    const gilx_range sizes[] = {part(1, 0),       part(1, 8), {0, 0},
                                {UINTPTR_MAX, 0}, part(9, 8), {8, 0}};
    expect(copied(memory, sizes, 6, 16) == 16, "reads of no bytes always succeed");
    expect(copied(memory, sizes, 1, 0) == 0, "nor are they any");
    expect(copied(memory, sizes, 0, 0) == 0, "no ranges have no bytes");
}

static void ranges_are_limited(gilx_memory *memory) {
    gilx_range ranges[GILX_MOST_RANGES + 1];
    for (int i = 0; i <= GILX_MOST_RANGES; ++i) {
        ranges[i] = part((size_t)(i * 37), GILX_MOST_COPIED / GILX_MOST_RANGES);
    }
    expect(copied(memory, ranges, GILX_MOST_RANGES, GILX_MOST_COPIED) == GILX_MOST_COPIED,
           "so many can be copied");
    ranges[GILX_MOST_RANGES].size = 0;
    expect(copied(memory, ranges, GILX_MOST_RANGES + 1, 0) == 0, "but not one more");
    const gilx_range whole[] = {part(1, GILX_MOST_COPIED), part(0, 1)};
    expect(copied(memory, whole, 1, GILX_MOST_COPIED) == GILX_MOST_COPIED,
           "one may be as long as all");
    expect(copied(memory, whole, 2, 0) == 0, "but no byte more can be copied");
    const gilx_range huge[] = {part(0, 8), part(0, SIZE_MAX - 7), {0, 8}, part(0, 8)};
    expect(copied(memory, huge, 2, 0) == 0, "sizes are not added up beyond all bounds");
    const gilx_range late[] = {
        part(0, 8), {UINTPTR_MAX - 99, 8}, part(0, GILX_MOST_COPIED - 16), part(0, 1)};
    expect(copied(memory, late, 4, 0) == 0, "those after a bad one count");
}

/* Copying stops at a range that can't be read, and the next call is none the worse. */
static void bad_ranges_end_the_copy(gilx_memory *memory) {
    for (int i = 0; i < BAD_ONES; ++i) {
        for (int good = 0; good <= 3; ++good) {
            gilx_range ranges[5];
            for (int j = 0; j < 5; ++j) {
                ranges[j] = part((size_t)(j * 3000), 3000);
            }
            ranges[good] = (gilx_range){.from = BAD[i], .size = 8};
            const size_t before = 3000 * (size_t)good;
            expect(copied(memory, ranges, 5, before + 8) == before,
                   "all before a bad one arrive");
            ranges[good] = part(1, 3000);
            expect(copied(memory, ranges, 5, 15000) == 15000, "all arrive after that");
        }
    }
}

/* Of a range whose end can't be read, any part may arrive. */
static void pages_may_be_missing(gilx_memory *memory) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages =
        mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(pages != MAP_FAILED && munmap(pages + 2 * page, page) == 0,
           "pages can be had and given back");
    memset(pages, 'x', 2 * page);
    for (size_t before = 0; before <= 5000; before += 1000) {
        const gilx_range ranges[] = {
            part(0, before),
            {(uintptr_t)pages + page - 100, 200},
            {(uintptr_t)pages + 2 * page - 100, 200},
            part(0, 100),
        };
        const size_t least = before + 200;
        /* A read may fail as a whole, which leaves its destination touched. */
        const size_t arrived = copied(memory, ranges, 4, least + 200);
        expect(arrived >= least && arrived <= least + 100, "all before the end arrives");
        expect(copied(memory, ranges, 2, least) == least, "a page's end can be crossed");
    }
    munmap(pages, 2 * page);
}

enum { STEPS = 100 };

static void *count_up(void *argument) {
    _Atomic unsigned char *counter = argument;
    for (unsigned char i = 1; i <= STEPS; ++i) {
        gilx_sleep_ns(10 * 1000);
        atomic_store(counter, i);
    }
    return NULL;
}

/* The same range, named twice, is read a second time after all that is named between. */
static void order_is_that_of_time(gilx_memory *memory) {
    _Atomic unsigned char counter = 0;
    const gilx_range again = {(uintptr_t)&counter, 1};
    const gilx_range ranges[] = {again, part(0, 5000), again, part(0, 300), again};
    pthread_t thread;
    expect(pthread_create(&thread, NULL, count_up, &counter) == 0, "threads can be made");
    const unsigned char *const at = copy;
    do {
        expect(gilx_memory_copy(memory, ranges, 5, copy) == 5303, "all arrive");
        expect(at[0] <= at[5001] && at[5001] <= at[5302], "it never counts backwards");
        gilx_sleep_ns(1000); /* or valgrind lets no other thread run */
    } while (at[0] < STEPS);
    pthread_join(thread, NULL);
}

/* Each way reads what is there, fails where nothing is, and goes on after that. */
static void memory_is_read_safely(void) {
    for (size_t i = 0; i < sizeof(known); ++i) {
        known[i] = (unsigned char)(i * 37 + i / 256);
    }
    for (int way = 0; way < GILX_MEMORY_WAYS; ++way) {
        gilx_memory memory;
        if (!gilx_memory_open(&memory, gilx_memory_names[way])) {
            (void)printf("not here: %s\n", gilx_memory_names[way]);
            continue;
        }
        expect((int)memory.way == way, "it is the way that was named");
        for (int round = 0; round < 100; ++round) {
            memset(copy, 0, sizeof(copy));
            expect(gilx_memory_read(&memory, known, copy, GILX_MOST_READ), "it is read");
            expect(memcmp(known, copy, GILX_MOST_READ) == 0, "as it is");
            for (int i = 0; i < BAD_ONES; ++i) {
                errno = 0;
                expect(!gilx_memory_read(&memory, (const void *)BAD[i], copy, 8) &&
                           errno != 0,
                       "nothing is there");
            }
            expect(!gilx_memory_read(&memory, known, copy, GILX_MOST_READ + 1),
                   "no more than fits");
        }
        for (int round = 0; round < 2; ++round) {
            ranges_are_copied_in_order(&memory);
            ranges_are_limited(&memory);
            bad_ranges_end_the_copy(&memory);
            pages_may_be_missing(&memory);
            order_is_that_of_time(&memory);
            /* Once more with a pipe of less capacity, as Linux may make it. */
            if (way != GILX_PIPE || fcntl(memory.other, F_SETPIPE_SZ, 1) < 0) {
                break;
            }
        }
        gilx_memory_close(&memory);
        expect(!gilx_memory_read(&memory, known, copy, 8), "it is closed");
        const gilx_range range = part(0, 8);
        expect(copied(&memory, &range, 1, 0) == 0, "for ranges, too");
        gilx_memory_close(&memory);
    }
    gilx_memory memory;
    expect(!gilx_memory_open(&memory, "no such way"), "an unknown way is refused");
}

int main(void) {
    memory_is_read_safely();
    puts(DRIVER ": fine");
    return 0;
}
