#include "line_table.h"

enum {
    ENTRY_START = 0x80, /* set in the first byte of each entry, and in no other byte */
    KIND_SHIFT = 3,
    KIND_MASK = 15,
    UNITS_MASK = 7,
    FIRST_ONE_LINE = 10, /* kinds below this one: few columns of the same line */
    NO_COLUMNS = 13,
    LONG_FORM = 14,
    NO_PLACE = 15,
    NUMBER_BITS = 6, /* of each byte of a number, the lowest bits first */
    MORE_FOLLOWS = 1 << NUMBER_BITS,
    MOST_NUMBER_BITS = 36, /* as many bytes as 32 bits need */
};

static const gilx_position NOWHERE = {.column = -1, .end_column = -1};

typedef struct {
    const unsigned char *next, *end;
    bool valid;
} reader;

static unsigned next_byte(reader *bytes) {
    if (bytes->next == bytes->end || *bytes->next >= ENTRY_START) {
        bytes->valid = false;
        return 0;
    }
    return *bytes->next++;
}

static int64_t next_number(reader *bytes) {
    int64_t number = 0;
    for (int shift = 0; shift < MOST_NUMBER_BITS; shift += NUMBER_BITS) {
        const unsigned byte = next_byte(bytes);
        number |= (int64_t)(byte & (MORE_FOLLOWS - 1)) << shift;
        if ((byte & MORE_FOLLOWS) == 0) {
            return number;
        }
    }
    bytes->valid = false;
    return 0;
}

static int64_t next_signed(reader *bytes) {
    const int64_t number = next_number(bytes);
    return (number & 1) != 0 ? -(number >> 1) : number >> 1;
}

static int32_t line_of(int64_t line) {
    return line >= 0 && line <= INT32_MAX ? (int32_t)line : 0;
}

static int32_t column_of(int64_t column) {
    return column >= 0 && column <= INT32_MAX ? (int32_t)column : -1;
}

/* Read an entry after its first byte; moves the running line. */
static gilx_position next_position(reader *bytes, unsigned kind, int64_t *line) {
    int64_t lines = 0, column = -1, end_column = -1;
    if (kind == NO_PLACE) {
        return NOWHERE;
    }
    if (kind == LONG_FORM) {
        *line += next_signed(bytes);
        lines = next_number(bytes);
        column = next_number(bytes) - 1;
        end_column = next_number(bytes) - 1;
    } else if (kind == NO_COLUMNS) {
        *line += next_signed(bytes);
    } else if (kind >= FIRST_ONE_LINE) {
        *line += kind - FIRST_ONE_LINE;
        column = next_byte(bytes);
        end_column = next_byte(bytes);
    } else {
        const unsigned byte = next_byte(bytes);
        column = kind * 8 + (byte >> 4);
        end_column = column + (byte & 15);
    }
    return (gilx_position){line_of(*line), line_of(*line + lines), column_of(column),
                           column_of(end_column)};
}

gilx_line_status gilx_line_find(gilx_line_search *search, const unsigned char *piece,
                                size_t size, bool last, size_t *used,
                                gilx_position *position) {
    reader bytes = {.next = piece, .end = piece + size, .valid = true};
    *position = NOWHERE;
    while (bytes.next != bytes.end) {
        *used = (size_t)(bytes.next - piece);
        if (!last && size - *used < GILX_LONGEST_ENTRY) {
            return GILX_LINE_BEYOND;
        }
        const unsigned first = *bytes.next++;
        const gilx_position here =
            next_position(&bytes, first >> KIND_SHIFT & KIND_MASK, &search->line);
        if (first < ENTRY_START || !bytes.valid) {
            return GILX_LINE_ABSENT;
        }
        search->unit -= (int64_t)(first & UNITS_MASK) + 1;
        if (search->unit < 0) {
            *position = here;
            return GILX_LINE_FOUND;
        }
    }
    *used = size;
    return last ? GILX_LINE_ABSENT : GILX_LINE_BEYOND;
}
