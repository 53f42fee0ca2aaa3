/* Looks up instructions of made-up code objects, which die, change and lie.
 *
 *     code_table_driver [TABLES [SEED]]
 *
 * TABLES is the number of random line tables. Objects are laid out as in no version of
 * CPython, and may change before any range of memory is read. Exit status 0 if all
 * answers were right, or "unknown" where nothing else would be.
 */
#define _GNU_SOURCE

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../platform/random.h"
#include "../platform/threads.h"
#include "../sampler/safe_memory.h"

static size_t copy_with_changes(gilx_memory *memory, const gilx_range *ranges, int count,
                                void *to);

#define gilx_memory_copy copy_with_changes
#include "../sampler/code_table.c"
#undef gilx_memory_copy

#define LENGTH(array) ((int)(sizeof(array) / sizeof(*(array))))

static uint64_t seed, random_state;

static uint64_t draw(uint64_t below) {
    return gilx_split_mix(&random_state) % below;
}

static void expect_at(bool truth, const char *what, int line) {
    if (!truth) {
        (void)fprintf(stderr, "code_table_driver.c:%d: seed %llu, not so: %s\n", line,
                      (unsigned long long)seed, what);
        exit(1);
    }
}

#define expect(truth) expect_at(truth, #truth, __LINE__)

/* ---- line tables ------------------------------------------------------------------ */

enum { UNITS_OF_ENTRY = 8, MOST_ENTRIES = 40, MOST_TABLE = MOST_ENTRIES * 32 };

typedef struct {
    unsigned char bytes[MOST_TABLE];
    size_t size;
    int32_t first_line, units;
    gilx_position positions[MOST_ENTRIES * UNITS_OF_ENTRY];
} line_sample;

static void add_byte(line_sample *sample, unsigned byte) {
    sample->bytes[sample->size++] = (unsigned char)byte;
}

static void add_number(line_sample *sample, uint32_t number) {
    for (; number >= 64; number >>= 6) {
        add_byte(sample, 64 | (number & 63));
    }
    add_byte(sample, number);
}

static void add_signed(line_sample *sample, int32_t number) {
    add_number(sample, number < 0 ? (uint32_t)-number << 1 | 1 : (uint32_t)number << 1);
}

/* Make a table as CPython's compiler does, of all kinds of entries. */
static void make_lines(line_sample *sample, int entries) {
    int32_t line = (int32_t)draw(1000000) + 1000;
    *sample = (line_sample){.first_line = line};
    for (int i = 0; i < entries; ++i) {
        const unsigned kind = (unsigned)draw(16), units = 1 + (unsigned)draw(8);
        gilx_position position = {0, 0, -1, -1};
        add_byte(sample, 128 | kind << 3 | (units - 1));
        if (kind < 10) {
            const unsigned column = (unsigned)draw(8), length = (unsigned)draw(16);
            add_byte(sample, column << 4 | length);
            position.column = (int32_t)(kind * 8 + column);
            position.end_column = position.column + (int32_t)length;
        } else if (kind < 13) {
            line += (int32_t)kind - 10;
            position.column = (int32_t)draw(128);
            position.end_column = (int32_t)draw(128);
            add_byte(sample, (unsigned)position.column);
            add_byte(sample, (unsigned)position.end_column);
        } else if (kind < 15) {
            const int32_t step = (int32_t)draw(40) - 20;
            line += step;
            add_signed(sample, step);
        }
        if (kind < 15) {
            position.line = position.end_line = line;
        }
        if (kind == 14) {
            const int32_t lines = (int32_t)draw(100000);
            position.end_line += lines;
            position.column = (int32_t)draw(1 << 20) - 1;
            position.end_column = (int32_t)draw(300) - 1;
            add_number(sample, (uint32_t)lines);
            add_number(sample, (uint32_t)(position.column + 1));
            add_number(sample, (uint32_t)(position.end_column + 1));
        }
        for (unsigned unit = 0; unit < units; ++unit) {
            sample->positions[sample->units++] = position;
        }
    }
}

static bool is_position(const gilx_position *one, const gilx_position *other) {
    return one->line == other->line && one->end_line == other->end_line &&
           one->column == other->column && one->end_column == other->end_column;
}

/* Search a table that comes in pieces of at most `most` bytes. Each is a block of memory
 * of its own, so that sanitizers and valgrind find reads beyond it. */
static gilx_line_status find_in_pieces(const unsigned char *bytes, size_t size,
                                       size_t most, gilx_line_search search,
                                       gilx_position *position) {
    for (;;) {
        const size_t count = size < most ? size : most;
        unsigned char *const piece = malloc(count + (count == 0));
        memcpy(piece, bytes, count);
        size_t used = 0;
        const gilx_line_status status =
            gilx_line_find(&search, piece, count, count == size, &used, position);
        free(piece);
        expect(used <= count);
        if (status != GILX_LINE_BEYOND) {
            return status;
        }
        expect(used > 0 && count < size);
        bytes += used;
        size -= used;
    }
}

static void find_in_good_tables(void) {
    static line_sample sample;
    gilx_position position;
    for (int round = 0; round < 200; ++round) {
        make_lines(&sample, (int)draw(MOST_ENTRIES) + 1);
        for (int32_t unit = 0; unit <= sample.units; ++unit) {
            const gilx_line_search search = {.line = sample.first_line, .unit = unit};
            const size_t most = unit % 2 == 0 ? sample.size : GILX_LONGEST_ENTRY;
            const gilx_line_status status =
                find_in_pieces(sample.bytes, sample.size, most, search, &position);
            if (unit == sample.units) {
                expect(status == GILX_LINE_ABSENT);
            } else {
                expect(status == GILX_LINE_FOUND);
                expect(is_position(&position, &sample.positions[unit]));
            }
        }
    }
    /* Numbers as long as they get, and longer. */
    static const unsigned char longest[] = {
        0xf0, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f,
        0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f};
    const gilx_line_search start = {.line = INT32_MAX};
    expect(sizeof(longest) == GILX_LONGEST_ENTRY);
    expect(find_in_pieces(longest, sizeof(longest), sizeof(longest), start, &position) ==
           GILX_LINE_FOUND);
    expect(is_position(&position, &(gilx_position){0, 0, -1, -1}));
    static const unsigned char longer[] = {0xe8, 0x7f, 0x7f, 0x7f,
                                           0x7f, 0x7f, 0x7f, 0x01};
    expect(find_in_pieces(longer, sizeof(longer), sizeof(longer), start, &position) ==
           GILX_LINE_ABSENT);
}

static void find_in_random_tables(uint64_t tables) {
    static line_sample sample;
    int found = 0;
    for (uint64_t i = 0; i < tables; ++i) {
        make_lines(&sample, (int)draw(8));
        if (i % 2 == 0) { /* one that was good */
            for (uint64_t faults = draw(4); faults > 0 && sample.size > 0; --faults) {
                sample.bytes[draw(sample.size)] = (unsigned char)draw(256);
            }
            sample.size = draw(sample.size + 1);
        } else {
            sample.size = draw(200);
            for (size_t byte = 0; byte < sample.size; ++byte) {
                sample.bytes[byte] = (unsigned char)draw(256);
            }
        }
        const gilx_line_search search = {.line = (int32_t)draw(INT32_MAX),
                                         .unit = (int32_t)draw(i % 3 == 0 ? 3 : 60)};
        gilx_position whole, pieces;
        const gilx_line_status status =
            find_in_pieces(sample.bytes, sample.size, sample.size, search, &whole);
        expect(status == find_in_pieces(sample.bytes, sample.size,
                                        GILX_LONGEST_ENTRY + draw(20), search, &pieces));
        expect(is_position(&whole, &pieces));
        expect(whole.line >= 0 && whole.end_line >= 0 && whole.column >= -1 &&
               whole.end_column >= -1);
        found += status == GILX_LINE_FOUND;
    }
    expect(tables == 0 || found > 0);
}

/* ---- made-up objects -------------------------------------------------------------- */

enum {
    TYPE = 0x1230, /* address of the type of code objects */
    UNITS = 20000, /* of the code object */
    CODE_SIZE = 208,
    TEXT_SIZE = 1 << 16,
    TABLE_SIZE = GILX_LONGEST_LINE_TABLE + 64,
};

/* clang-format off */
static const gilx_stack_layout LAYOUTS_MADE_UP[] = {
    {.tag = 3, .type = 24, .size = 8, .instructions = CODE_SIZE, .first_line = 44,
     .file = 64, .name = 96, .line_table = 48, .version = 40, .consts = 104, .names = 88,
     .bytes = 36, .string_length = 16, .string_state = 28, .string_ascii = 33,
     .string_compact = 58, .string_kind = 5, .string_is_compact = 9, .string_is_ascii = 2},
    {.type = 8, .size = 16, .instructions = CODE_SIZE, .first_line = 28, .file = 200,
     .name = 32, .line_table = 120, .version = -1, .consts = 40, .names = 192,
     .bytes = 24, .string_length = 8, .string_state = 16, .string_ascii = 48,
     .string_compact = 72, .string_kind = 2, .string_is_compact = 5,
     .string_is_ascii = 6},
};
/* clang-format on */

typedef struct {
    _Alignas(16) unsigned char bytes[TEXT_SIZE];
} string_object;

static const gilx_stack_layout *layout;
static gilx_memory memory;
static gilx_code_table *table;
static string_object name, other_name, file, other_file;
static _Alignas(16) unsigned char lines[TABLE_SIZE], other_lines[TABLE_SIZE];
static unsigned char *code; /* at the end of a page of its own */
static unsigned char *pages;
static size_t page_size;

/* A change that is made before a range is read. */
static struct {
    int at;     /* number of the range from now on, -1: none */
    void *word; /* which is changed; NULL: the code object is unmapped */
    unsigned char bytes[sizeof(uint64_t)];
    size_t size;
} change = {.at = -1};
static int ranges_read, calls;
static bool apart; /* whether code objects are read before spots are asked for */

/* Map a page for the code object, and one behind it that can't be read. */
static void map_code(void) {
    const int fixed = pages == NULL ? 0 : MAP_FIXED;
    pages =
        mmap(pages, 2 * page_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    expect(pages != MAP_FAILED);
    expect(mprotect(pages, page_size, PROT_READ | PROT_WRITE) == 0);
    code = pages + page_size - CODE_SIZE;
}

static size_t copy_with_changes(gilx_memory *from, const gilx_range *ranges, int count,
                                void *to) {
    ++calls;
    if (change.at < ranges_read || change.at >= ranges_read + count) {
        ranges_read += count;
        return gilx_memory_copy(from, ranges, count, to);
    }
    size_t copied = 0;
    for (int i = 0; i < count; ++i, ++ranges_read) {
        if (ranges_read == change.at && change.word == NULL) {
            expect(mprotect(pages, page_size, PROT_NONE) == 0);
        } else if (ranges_read == change.at) {
            memcpy(change.word, change.bytes, change.size);
        }
        const size_t size = gilx_memory_copy(from, &ranges[i], 1, (char *)to + copied);
        copied += size;
        if (size < ranges[i].size) {
            break;
        }
    }
    return copied;
}

static void put(void *object, int place, const void *word, size_t size) {
    if (place >= 0) {
        memcpy((unsigned char *)object + place, word, size);
    }
}

static void put_address(void *object, int place, const void *address) {
    put(object, place, &address, sizeof(address));
}

static void put_length(void *object, int place, int64_t length) {
    put(object, place, &length, sizeof(length));
}

static void put_32(void *object, int place, uint32_t word) {
    put(object, place, &word, sizeof(word));
}

static uint32_t state_bits(int kind, bool ascii, bool compact) {
    return (uint32_t)kind << layout->string_kind |
           (uint32_t)ascii << layout->string_is_ascii |
           (uint32_t)compact << layout->string_is_compact;
}

/* Lay out a string of `count` characters, repeated to `length`. */
static void make_string(string_object *string, int kind, bool ascii,
                        const uint32_t *characters, int count, int length) {
    unsigned char *next =
        string->bytes + (ascii ? layout->string_ascii : layout->string_compact);
    put_length(string, layout->string_length, length);
    put_32(string, layout->string_state, state_bits(kind, ascii, true));
    for (int i = 0; i < length; ++i, next += kind) {
        const uint32_t character = characters[i % count];
        const uint8_t one = (uint8_t)character;
        const uint16_t two = (uint16_t)character;
        const void *const units[] = {NULL, &one, &two, NULL, &character};
        memcpy(next, units[kind], (size_t)kind);
    }
}

static void make_ascii(string_object *string, const char *text) {
    uint32_t characters[128] = {0};
    const int length = (int)strlen(text);
    for (int i = 0; i < length; ++i) {
        characters[i] = (unsigned char)text[i];
    }
    make_string(string, 1, true, characters, length, length);
}

/* Lay out bytes that are a line table: an entry of one unit for each line. */
static void make_table(unsigned char *object, int64_t entries) {
    static const unsigned char one_line_on[] = {0xd8, 3, 9};
    put_length(object, layout->size, entries * 3);
    unsigned char *next = object + layout->bytes;
    for (int64_t i = 0; i < entries; ++i, next += 3) {
        memcpy(next, one_line_on, 3);
    }
}

/* Start anew with a layout: all objects are alive, and the table is empty. */
static void start(int which) {
    layout = &LAYOUTS_MADE_UP[which];
    gilx_code_table_free(table);
    table = gilx_code_table_new(layout, TYPE);
    expect(table != NULL);
    memset(&name, 0, sizeof(name));
    memset(&file, 0, sizeof(file));
    make_ascii(&name, "Class.method");
    make_ascii(&other_name, "function");
    make_ascii(&file, "/somewhere/file.py");
    make_ascii(&other_file, "<string>");
    make_table(lines, UNITS);
    make_table(other_lines, UNITS / 2);
    memset(code, 0, CODE_SIZE);
    put_length(code, 0, 1);
    put_address(code, layout->type, (void *)TYPE);
    put_length(code, layout->size, UNITS);
    put_address(code, layout->file, &file);
    put_address(code, layout->name, &name);
    put_address(code, layout->line_table, lines);
    put_address(code, layout->consts, &memory);
    put_address(code, layout->names, &table);
    put_32(code, layout->version, 17);
    put_32(code, layout->first_line, 100);
    change.at = -1;
}

static int spot_at(uintptr_t address, uintptr_t instr) {
    calls = ranges_read = 0;
    if (!apart) {
        return gilx_code_spot(table, &memory, address, instr);
    }
    gilx_codes_read(table, &memory, &address, 1);
    return gilx_codes_spot(table, &memory, 0, instr);
}

static int spot_of_bytes(int64_t bytes) {
    const uintptr_t address = (uintptr_t)code;
    return spot_at(address | (uintptr_t)(layout->tag & 1),
                   address + (uintptr_t)layout->instructions + (uintptr_t)bytes);
}

static int spot_of(int unit) {
    return spot_of_bytes(2 * (int64_t)unit);
}

static const gilx_function *function_of(int spot) {
    expect(spot >= 0 && spot < gilx_spot_count(table));
    const int function = gilx_spot_at(table, spot)->function;
    expect(function >= 0 && function < gilx_function_count(table));
    return gilx_function_at(table, function);
}

/* Expect the spot of a unit of the code object that start() makes, but for its line. */
static void expect_spot(int spot, int first_line, int unit) {
    const gilx_function *function = function_of(spot);
    expect(strcmp(function->name, "Class.method") == 0);
    expect(strcmp(function->file, "/somewhere/file.py") == 0);
    expect(function->first_line == first_line);
    const gilx_spot *found = gilx_spot_at(table, spot);
    expect(found->line == first_line + 1 + unit && found->end_line == found->line);
    expect(found->column == 3 && found->end_column == 9);
}

static void expect_first(int spot, int unit) {
    expect_spot(spot, 100, unit);
}

static void expect_unknown(void) {
    expect(spot_of(3) == GILX_SPOT_UNKNOWN);
    expect(gilx_spot_count(table) == 0 && gilx_function_count(table) == 0);
}

/* ---- what is found ---------------------------------------------------------------- */

static void find_spots(void) {
    for (int which = 0; which < LENGTH(LAYOUTS_MADE_UP); ++which) {
        start(which);
        const int spot = spot_of(3);
        expect_first(spot, 3);
        expect(calls == 3); /* the fingerprint, where things are, and all else */
        expect(spot_of(3) == spot && calls == 1 && ranges_read == 1);
        expect_first(spot_of(0), 0);
        expect(spot_of(-1) == spot_of(0)); /* before the first instruction */
        expect_first(spot_of(UNITS - 1), UNITS - 1);
        const int count = gilx_spot_count(table);
        expect(spot_of(UNITS) == GILX_SPOT_UNKNOWN);
        expect(spot_of(-2) == GILX_SPOT_UNKNOWN);
        expect(spot_of_bytes(7) == GILX_SPOT_UNKNOWN); /* within an instruction */
        expect(spot_of_bytes(-1) == GILX_SPOT_UNKNOWN);
        expect(spot_at((uintptr_t)code, 0) == GILX_SPOT_UNKNOWN);
        expect(spot_at((uintptr_t)code, UINTPTR_MAX) == GILX_SPOT_UNKNOWN);
        static const uintptr_t nowhere[] = {
            0, 8, 4096, UINTPTR_MAX, UINTPTR_MAX - 7, UINTPTR_MAX / 2 - 7};
        for (int i = 0; i < LENGTH(nowhere); ++i) {
            expect(spot_at(nowhere[i], nowhere[i]) == GILX_SPOT_UNKNOWN);
        }
        expect(spot_at((uintptr_t)code + 4, (uintptr_t)code) == GILX_SPOT_UNKNOWN);
        expect(gilx_spot_count(table) == count && count == 3);
        expect(gilx_function_count(table) == 1);
        /* Another code object of the same content is the same function. */
        put_address(code, layout->consts, &change);
        put_32(code, layout->version, 18);
        put_address(code, layout->line_table, other_lines);
        expect(spot_of(3) == spot && calls == 3);
        /* The table is too short for its code. */
        const gilx_spot *beyond = gilx_spot_at(table, spot_of(UNITS - 1));
        expect(beyond->function == 0 && beyond->line == 0 && beyond->end_line == 0 &&
               beyond->column == -1 && beyond->end_column == -1);
    }
    gilx_stack_layout vast = LAYOUTS_MADE_UP[0];
    vast.name = 1000;
    expect(gilx_code_table_new(&vast, TYPE) == NULL && errno == EINVAL);
}

/* Expect a function's name, or file if `is_file`, from a string of `length` characters.
 */
static void expect_text(int kind, bool ascii, const uint32_t *characters, int count,
                        int length, bool is_file, const char *expected) {
    make_string(is_file ? &file : &name, kind, ascii, characters, count, length);
    put_length(code, layout->consts, (int64_t)draw(INT64_MAX)); /* another fingerprint */
    const gilx_function *function = function_of(spot_of(3));
    expect(strcmp(is_file ? function->file : function->name, expected) == 0);
}

static void find_texts(void) {
    static const uint32_t a[] = {'a'}, acute[] = {0xe9}, han[] = {0x4e00};
    static const uint32_t smile[] = {0x1f600}, nul[] = {'x', 0, 'y'};
    static const uint32_t narrow[] = {1, 0x1b, '\n', 0x7f, 0x80, 0xff};
    static const uint32_t two[] = {0x7ff, 0x800, 0xd800, 0xdfff, 0xffff};
    static const uint32_t four[] = {0x10000, 0x10ffff, 'a', 0xdc80};
    static const uint32_t letters[] = {'w', 'x', 'y', 'z'};
    static const uint32_t late[] = {'a', 'a', 'a', 0xe9};
    char text[2048];
    for (int which = 0; which < LENGTH(LAYOUTS_MADE_UP); ++which) {
        start(which);
        expect_text(1, true, a, 1, 0, false, "");
        expect_text(1, true, a, 1, 3, false, "aaa");
        expect_text(1, true, nul, 3, 3, false, "x\xe2\x90\x80y");
        expect_text(1, false, narrow, 6, 6, false, "\x01\x1b\n\x7f\xc2\x80\xc3\xbf");
        expect_text(2, false, two, 5, 5, false,
                    "\xdf\xbf\xe0\xa0\x80\xed\xa0\x80\xed\xbf\xbf\xef\xbf\xbf");
        expect_text(4, false, four, 4, 4, true,
                    "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"
                    "a\xed\xb2\x80");
        expect_text(2, false, a, 1, 2, true, "aa"); /* not made by CPython so */
        const int mark = GILX_LONGEST_NAME - 3;
        (void)memset(text, 'a', sizeof(text));
        text[GILX_LONGEST_NAME] = '\0';
        expect_text(1, true, a, 1, GILX_LONGEST_NAME, false, text);
        (void)snprintf(text + mark, 4, "%s", ELLIPSIS);
        expect_text(1, true, a, 1, GILX_LONGEST_NAME + 1, false, text);
        expect_text(1, true, a, 1, 10000, false, text);
        expect_text(2, false, a, 1, 10000, false, text);
        /* 300 bytes are 225 + 75 of these four; one byte of a character would not do. */
        for (int i = 0; i < 300; i += 5) {
            (void)snprintf(text + i, 6, "aaa\xc3\xa9");
        }
        expect_text(1, false, late, 4, 240, false, text);
        (void)snprintf(text + 295, 6, "aa%s", ELLIPSIS);
        expect_text(1, false, late, 4, 241, false, text);
        for (int i = 0; i < 300; i += 4) {
            (void)snprintf(text + i, 5, "\xf0\x9f\x98\x80");
        }
        expect_text(4, false, smile, 1, 75, false, text);
        (void)snprintf(text + 296, 4, "%s", ELLIPSIS);
        expect_text(4, false, smile, 1, 76, false, text);
        /* Files' names keep their end. */
        (void)memset(text, 'a', sizeof(text));
        text[GILX_LONGEST_FILE] = '\0';
        expect_text(1, true, a, 1, GILX_LONGEST_FILE, true, text);
        (void)memcpy(text, ELLIPSIS, 3);
        expect_text(1, true, a, 1, GILX_LONGEST_FILE + 1, true, text);
        expect_text(1, true, a, 1, 30000, true, text);
        for (int i = 3; i < 1000; ++i) {
            text[i] = "wxyz"[(i + 1) % 4];
        }
        expect_text(1, true, letters, 4, GILX_LONGEST_FILE + 1, true, text);
        for (int i = 3; i < 1000; i += 3) {
            (void)snprintf(text + i, 4, "\xe4\xb8\x80");
        }
        text[999] = '\0';
        expect_text(2, false, han, 1, 334, true, text);
        expect_text(2, false, han, 1, 20000, true, text);
        for (int i = 0; i < 1000; i += 2) {
            (void)snprintf(text + i, 3, "\xc3\xa9");
        }
        expect_text(1, false, acute, 1, 500, true, text);
        (void)snprintf(text, 4, "%s", ELLIPSIS);
        for (int i = 3; i < 999; i += 2) {
            (void)snprintf(text + i, 3, "\xc3\xa9");
        }
        expect_text(1, false, acute, 1, 501, true, text);
    }
}

static void find_in_long_tables(void) {
    start(0);
    const int64_t most = GILX_LONGEST_LINE_TABLE / 3; /* and one byte */
    make_table(lines, most);
    put_length(code, layout->size, most);
    put_length(lines, layout->size, GILX_LONGEST_LINE_TABLE);
    expect_first(spot_of((int)most - 1), (int)most - 1);
    expect(calls > 2 + GILX_LONGEST_LINE_TABLE / PIECE &&
           calls < 6 + GILX_LONGEST_LINE_TABLE / PIECE);
    expect_first(spot_of((int)most / 2), (int)most / 2);
    expect_first(spot_of(5), 5);
    expect(calls == 3);
    put_length(lines, layout->size, GILX_LONGEST_LINE_TABLE + 1);
    const int spot = spot_of(6);
    expect(function_of(spot)->first_line == 100);
    expect(gilx_spot_at(table, spot)->line == 0);
    put_length(lines, layout->size, INT64_MAX);
    expect(spot_of(7) == spot);
    put_length(lines, layout->size, 0);
    expect(spot_of(8) == spot);
    memset(lines + layout->bytes, 0, 300); /* no entry begins so */
    put_length(lines, layout->size, 300);
    expect(spot_of(9) == spot);
}

/* ---- what is refused -------------------------------------------------------------- */

/* Expect that nothing is found while an object has a word, which is taken back then. */
static void refuse(void *object, int place, uint64_t word, size_t size) {
    unsigned char before[sizeof(word)];
    memcpy(before, (unsigned char *)object + place, size);
    put(object, place, &word, size); /* lengths and states have their low bytes first */
    expect_unknown();
    put(object, place, before, size);
}

static void refuse_objects_that_are_not_code(void) {
    for (int which = 0; which < LENGTH(LAYOUTS_MADE_UP); ++which) {
        start(which);
        static const int64_t lengths[] = {-1,        INT64_MIN, INT64_MAX,
                                          1LL << 31, 1LL << 32, MOST_CHARACTERS + 1};
        refuse(code, layout->type, TYPE + 16, 8);
        refuse(code, layout->type, 0, 8);
        refuse(code, 0, 0, 8);              /* it is taken apart, */
        refuse(code, 0, 0x7fff00000010, 8); /* or was freed */
        refuse(code, layout->size, 0, 8);
        for (int i = 0; i < 2; ++i) {
            string_object *const string = i == 0 ? &name : &file;
            const int place = i == 0 ? layout->name : layout->file;
            refuse(code, place, 0, 8);
            refuse(code, place, 4096, 8);
            refuse(code, place, (uintptr_t)string + 1, 8);
            refuse(code, place, UINTPTR_MAX - 7, 8);
            refuse(code, place, (uintptr_t)pages + page_size - 8, 8);
            for (int length = 0; length < LENGTH(lengths); ++length) {
                refuse(string, layout->string_length, (uint64_t)lengths[length], 8);
            }
            for (int kind = 0; kind < 8; ++kind) {
                if (kind != 1 && kind != 2 && kind != 4) {
                    refuse(string, layout->string_state, state_bits(kind, false, true),
                           4);
                }
                if (kind != 1) {
                    refuse(string, layout->string_state, state_bits(kind, true, true), 4);
                }
                refuse(string, layout->string_state, state_bits(kind, true, false), 4);
                refuse(string, layout->string_state, state_bits(kind, false, false), 4);
            }
            refuse(string, layout->string_ascii + 4, 0x80, 1); /* ASCII has none */
        }
        const uint32_t none[] = {0x110000}, last[] = {'a', 'a', UINT32_MAX};
        make_string(&name, 4, false, none, 1, 1);
        expect_unknown();
        make_string(&name, 4, false, last, 3, 3);
        expect_unknown();
        make_ascii(&name, "Class.method");
        make_string(&file, 4, false, last, 3, 3);
        expect_unknown();
        make_ascii(&file, "/somewhere/file.py");
        for (int i = 0; i < 2; ++i) {
            refuse(code, layout->size, (uint64_t)lengths[i], 8);
            refuse(lines, layout->size, (uint64_t)lengths[i], 8);
        }
        refuse(code, layout->size, (uint64_t)INT64_MAX, 8);
        refuse(code, layout->size, (uint64_t)MOST_UNITS + 1, 8);
        refuse(code, layout->line_table, 0, 8);
        refuse(code, layout->line_table, 8, 8);
        refuse(code, layout->line_table, (uintptr_t)lines + 2, 8);
        expect_first(spot_of(3), 3); /* nothing was left behind */
    }
}

/* Expect that a miss finds nothing if a word changes before any of the ranges that come
 * after the first, and that it finds what is there now if it changes before all. */
static void refuse_change(void *word, uint64_t value, size_t size, bool stays_known) {
    unsigned char before[sizeof(value)];
    memcpy(before, word, size);
    for (int at = 1; at < 8; ++at) {
        change.at = at;
        change.word = word;
        change.size = size;
        memcpy(change.bytes, &value, size);
        expect_unknown();
        expect(memcmp(word, before, size) != 0); /* the change was made */
        memcpy(word, before, size);
    }
    change.at = 0;
    expect((spot_of(3) >= 0) == stays_known);
    change.at = -1;
    memcpy(word, before, size);
    expect_first(spot_of(3), 3);
    if (stays_known) { /* and so on the next call, from either */
        change.at = 0;
        const int spot = spot_of(3);
        change.at = -1;
        expect(spot >= 0 && spot == spot_of(3));
        memcpy(word, before, size);
        expect_first(spot_of(3), 3);
    }
}

static void refuse_changes(void) {
    for (int which = 0; which < LENGTH(LAYOUTS_MADE_UP); ++which) {
        const struct {
            int place;
            uint64_t value;
            size_t size;
            bool stays_known;
        } changes[] = {
            {0, 0, 8, false},
            {LAYOUTS_MADE_UP[which].type, 0x5550, 8, false},
            {LAYOUTS_MADE_UP[which].size, UNITS / 2, 8, true},
            {LAYOUTS_MADE_UP[which].file, (uintptr_t)&other_file, 8, true},
            {LAYOUTS_MADE_UP[which].name, (uintptr_t)&other_name, 8, true},
            {LAYOUTS_MADE_UP[which].line_table, (uintptr_t)other_lines, 8, true},
            {LAYOUTS_MADE_UP[which].consts, (uintptr_t)&change, 8, true},
            {LAYOUTS_MADE_UP[which].names, (uintptr_t)&change, 8, true},
            {LAYOUTS_MADE_UP[which].first_line, 55, 4, true},
            {LAYOUTS_MADE_UP[which].version, 18, 4, true},
        };
        for (int i = 0; i < LENGTH(changes); ++i) {
            start(which);
            if (changes[i].place >= 0) {
                refuse_change(code + changes[i].place, changes[i].value, changes[i].size,
                              changes[i].stays_known);
            }
        }
        for (int at = 0; at < 8; ++at) { /* the code object's memory goes */
            start(which);
            change.at = at;
            change.word = NULL;
            expect_unknown();
            expect(calls == (at == 0 ? 1 : 3));
            map_code();
        }
    }
    /* Before any piece of a long table. */
    start(0);
    expect_first(spot_of(UNITS - 1), UNITS - 1);
    const int last = ranges_read;
    expect(last > 8);
    for (int at = 1; at < last; ++at) {
        start(0);
        const uint32_t version = 18;
        change.at = at;
        change.word = code + layout->version;
        change.size = sizeof(version);
        memcpy(change.bytes, &version, sizeof(version));
        expect(spot_of(UNITS - 1) == GILX_SPOT_UNKNOWN);
        expect(gilx_spot_count(table) == 0 && gilx_function_count(table) == 0);
    }
}

/* Several code objects are read in one system call, and the good ones are found although
 * others are not there. */
static void find_several(void) {
    static _Alignas(16) unsigned char others[2][CODE_SIZE];
    for (int which = 0; which < LENGTH(LAYOUTS_MADE_UP); ++which) {
        start(which);
        for (int i = 0; i < 2; ++i) {
            memcpy(others[i], code, CODE_SIZE);
            put_32(others[i], layout->first_line, 200 + 100 * (uint32_t)i);
        }
        const uintptr_t there[] = {(uintptr_t)others[1], (uintptr_t)code,
                                   (uintptr_t)others[0]};
        enum { GONE = 4096, MANY = GILX_MOST_RANGES };
        uintptr_t codes[MANY];
        for (int bad = 0; bad < 4; ++bad) { /* one in so many is not there */
            int gone = 0;
            for (int i = 0; i < MANY; ++i) {
                codes[i] = bad > 0 && i % bad == 0 ? GONE : there[i % 3];
                gone += codes[i] == GONE;
            }
            calls = 0;
            gilx_codes_read(table, &memory, codes, MANY);
            expect(calls == gone + (codes[MANY - 1] != GONE));
            for (int i = 0; i < MANY; ++i) {
                const int spot = gilx_codes_spot(
                    table, &memory, i, codes[i] + (uintptr_t)layout->instructions + 6);
                if (codes[i] == GONE) {
                    expect(spot == GILX_SPOT_UNKNOWN);
                } else {
                    static const int first_lines[] = {300, 100, 200};
                    expect_spot(spot, first_lines[i % 3], 3);
                }
            }
        }
        /* Two of them change before spots are asked for, one of which is remembered. */
        gilx_codes_read(table, &memory, there, 3);
        put_32(others[0], layout->first_line, 55);
        put_32(code, layout->first_line, 55);
        const uintptr_t start_of = (uintptr_t)layout->instructions;
        expect_first(gilx_codes_spot(table, &memory, 1, there[1] + start_of + 6), 3);
        expect(gilx_codes_spot(table, &memory, 2, there[2] + start_of + 8) ==
               GILX_SPOT_UNKNOWN);
        expect_spot(gilx_codes_spot(table, &memory, 0, there[0] + start_of + 8), 300, 4);
        /* One that is remembered goes. */
        gilx_codes_read(table, &memory, there, 3);
        expect_spot(gilx_codes_spot(table, &memory, 1, there[1] + start_of + 6), 55, 3);
        expect(mprotect(pages, page_size, PROT_NONE) == 0);
        gilx_codes_read(table, &memory, there, 3);
        expect(gilx_codes_spot(table, &memory, 1, there[1] + start_of + 6) ==
               GILX_SPOT_UNKNOWN);
        expect_spot(gilx_codes_spot(table, &memory, 2, there[2] + start_of + 6), 55, 3);
        map_code();
        gilx_codes_read(table, &memory, there, 0);
    }
}

/* ---- full tables ------------------------------------------------------------------ */

/* Return the spot of a unit after the code object got another line and version, and texts
 * unless they are NULL. */
static int spot_of_new(uint32_t number, const char *new_name, const char *new_file,
                       int unit) {
    put_32(code, layout->first_line, number);
    put_32(code, layout->version, number);
    if (new_name != NULL) {
        make_ascii(&name, new_name);
    }
    if (new_file != NULL) {
        make_ascii(&file, new_file);
    }
    return spot_of(unit);
}

static void fill_tables(void) {
    enum { UNITS_EACH = 32 };
    start(0); /* spots */
    int spot = 0;
    for (int i = 0; i < GILX_SPOTS + 500; ++i) {
        spot = spot_of_new((uint32_t)(i / UNITS_EACH), NULL, NULL, i % UNITS_EACH);
        expect(spot == (i < GILX_SPOTS ? i : GILX_SPOT_OTHER));
    }
    expect(spot_of(499 % UNITS_EACH) == GILX_SPOT_OTHER && calls == 1);
    expect(gilx_spot_count(table) == GILX_SPOTS);
    for (int i = 0; i < GILX_SPOTS; ++i) { /* most were forgotten meanwhile */
        spot = spot_of_new((uint32_t)(i / UNITS_EACH), NULL, NULL, i % UNITS_EACH);
        expect(spot == i);
        expect_spot(spot, i / UNITS_EACH, i % UNITS_EACH);
    }

    start(0); /* functions, and the number of texts */
    char text[128];
    for (uint32_t i = 0; i < GILX_FUNCTIONS + 3 * TEXTS; ++i) {
        (void)snprintf(text, sizeof(text), "%x", i);
        spot = spot_of_new(i, text, NULL, 0);
        expect(spot == (i < GILX_FUNCTIONS ? (int)i : GILX_SPOT_OTHER));
        expect(table->texts_kept <= TEXTS);
    }
    expect(gilx_function_count(table) == GILX_FUNCTIONS);
    expect(spot_of_new(7, "7", NULL, 0) == 7);
    expect(strcmp(function_of(7)->name, "7") == 0);

    start(0); /* the length of texts */
    for (spot = 0; spot >= 0;) {
        const uint32_t number = (uint32_t)gilx_function_count(table);
        const uint32_t digits[] = {'0' + number % 10, '0' + number / 10 % 10,
                                   '0' + number / 100 % 10, '/'};
        make_string(&file, 1, true, digits, 4, GILX_LONGEST_FILE);
        spot = spot_of_new(number, NULL, NULL, 0);
    }
    expect(spot == GILX_SPOT_OTHER);
    const int kept = gilx_function_count(table);
    expect(kept == (GILX_TEXT_BYTES - 13) / (GILX_LONGEST_FILE + 1)); /* and the name */
    expect(strncmp(gilx_function_at(table, 123)->file, "321/321/", 8) == 0);
    expect(spot_of_new(900, NULL, "/short", 0) == kept); /* there is little left */
}

/* ---- a thread that replaces the code object --------------------------------------- */

#ifdef GILX_SERIALIZED
enum { QUESTIONS = 500 }; /* each read may have to wait for the other thread's turn */
#else
enum { QUESTIONS = 20000 };
#endif
enum { CONTENTS = 16 };

static string_object names_of[CONTENTS], files_of[CONTENTS];
static atomic_bool enough;

static void store(int place, uint64_t word) {
    atomic_store((_Atomic uint64_t *)(void *)(code + place), word);
}

static void store_32(int place, uint32_t word) {
    atomic_store((_Atomic uint32_t *)(void *)(code + place), word);
}

/* Free the code object and make another one in its place, time and again. */
static void replace_code(void *unused) {
    (void)unused;
    uint64_t state = seed + 1;
    for (uint32_t version = 100; !atomic_load(&enough); ++version) {
        const uint64_t content = gilx_split_mix(&state) % CONTENTS;
        store(0, 0);
        store(layout->name, (uintptr_t)&names_of[content]);
        store_32(layout->version, version);
        store_32(layout->first_line, (uint32_t)content);
        store(layout->file, (uintptr_t)&files_of[content]);
        store(0, 1);
        for (uint64_t i = gilx_split_mix(&state) % 4000; i > 0; --i) {
            atomic_load(&enough);
        }
    }
}

static void find_while_replaced(void) {
    start(0);
    for (int i = 0; i < CONTENTS; ++i) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", i);
        make_ascii(&names_of[i], text);
        make_ascii(&files_of[i], text);
    }
    gilx_thread thread;
    expect(gilx_thread_start(&thread, replace_code, NULL) == 0);
    int found = 0;
    /* On a busy machine the other thread may begin after so many questions. */
    for (int i = 0; i < QUESTIONS || found == 0; ++i) {
        const int spot = spot_of((int)draw(50));
        if (spot < 0) {
            expect(spot == GILX_SPOT_UNKNOWN);
            continue;
        }
        const gilx_function *function = function_of(spot);
        if (function->first_line < CONTENTS) {
            expect(strcmp(function->name, function->file) == 0);
            expect(atoi(function->name) == function->first_line);
            ++found;
        }
    }
    atomic_store(&enough, true);
    gilx_thread_join(&thread);
}

int main(int argc, char **argv) {
    const uint64_t tables = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    random_state = seed;
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    map_code();
    expect(gilx_memory_open(&memory, NULL));
    find_in_good_tables();
    find_in_random_tables(tables);
    for (int round = 0; round < 2; ++round) {
        apart = round == 1;
        find_spots();
        find_texts();
        find_in_long_tables();
        refuse_objects_that_are_not_code();
        refuse_changes();
        fill_tables();
    }
    find_several();
    apart = false;
    find_while_replaced();
    gilx_code_table_free(table);
    gilx_memory_close(&memory);
    (void)munmap(pages, 2 * page_size);
    (void)printf("code table: fine\n");
    return 0;
}
