/* Places of the words that the sampler reads, in each version of CPython.
 *
 * They are data, chosen by the version of the interpreter that is read, which need not be
 * the one that gilx was built for. The places are those of 64-bit systems; they are the
 * same in all final releases of a minor version.
 */
#ifndef GILX_SAMPLER_LAYOUTS_H
#define GILX_SAMPLER_LAYOUTS_H

#include <stdbool.h>
#include <stdint.h>

/* Offsets in bytes. 3.11 has one GIL, in the runtime; 3.12 has a pointer in each
 * interpreter. csrc/python/own_interpreter.c compares all of these with the headers that
 * gilx is built with. */
/* clang-format off */
#define GILX_PLACES_11(PLACE)                                                         \
    PLACE(runtime_gil, 360) PLACE(interpreter_threads, 16) PLACE(next, 8)             \
    PLACE(tid, 160) PLACE(id, 240) PLACE(runtime_interpreters, 40)                    \
    PLACE(interpreter_next, 0) PLACE(interpreter, 16)
#define GILX_PLACES_12(PLACE)                                                         \
    PLACE(interpreter_gil, 384) PLACE(interpreter_threads, 72) PLACE(next, 8)         \
    PLACE(tid, 144) PLACE(id, 224) PLACE(runtime_interpreters, 40)                    \
    PLACE(interpreter_next, 0) PLACE(interpreter, 16)

/* From 3.13 on, the runtime begins with a table of offsets, each a 64-bit word. These are
 * the numbers of its words, and the offset of the one place that it does not have. */
#define GILX_PLACES_13(PLACE)                                                         \
    PLACE(table_threads, 9) PLACE(table_gil, 14) PLACE(table_own_gil, 15)             \
    PLACE(table_enabled, 16) PLACE(table_locked, 17) PLACE(table_holder, 18)          \
    PLACE(table_next, 21) PLACE(table_tid, 25) PLACE(id, 224)                         \
    PLACE(table_interpreters, 5) PLACE(table_interpreter_next, 8)                     \
    PLACE(table_interpreter, 22)
#define GILX_PLACES_14(PLACE)                                                         \
    PLACE(table_threads, 9) PLACE(table_gil, 15) PLACE(table_own_gil, 16)             \
    PLACE(table_enabled, 17) PLACE(table_locked, 18) PLACE(table_holder, 19)          \
    PLACE(table_next, 24) PLACE(table_tid, 28) PLACE(id, 224)                         \
    PLACE(table_interpreters, 5) PLACE(table_interpreter_next, 8)                     \
    PLACE(table_interpreter, 25)
#define GILX_PLACES_15(PLACE)                                                         \
    PLACE(table_threads, 9) PLACE(table_gil, 15) PLACE(table_own_gil, 16)             \
    PLACE(table_enabled, 17) PLACE(table_locked, 18) PLACE(table_holder, 19)          \
    PLACE(table_next, 24) PLACE(table_tid, 31) PLACE(table_waits, 35) PLACE(id, 248)  \
    PLACE(table_interpreters, 5) PLACE(table_interpreter_next, 8)                     \
    PLACE(table_interpreter, 25)

/* Members of gilx_stack_layout: those that are the same in all versions, since 3.12, and
 * since 3.13, and all of them. */
#define GILX_STACK_PLACES(PLACE)                                                      \
    PLACE(type, 8) PLACE(size, 16) PLACE(file, 112) PLACE(name, 128)                  \
    PLACE(line_table, 136) PLACE(consts, 24) PLACE(names, 32) PLACE(bytes, 32)        \
    PLACE(string_length, 16) PLACE(string_state, 32)
#define GILX_STACK_PLACES_SINCE_12(PLACE)                                             \
    GILX_STACK_PLACES(PLACE)                                                          \
    PLACE(code, 0) PLACE(previous, 8) PLACE(instr, 56) PLACE(end_owner, 3)            \
    PLACE(first_line, 68) PLACE(version, 92) PLACE(entry, -1)                         \
    PLACE(string_ascii, 40) PLACE(string_compact, 56)
#define GILX_STACK_PLACES_SINCE_13(PLACE)                                             \
    GILX_STACK_PLACES_SINCE_12(PLACE)                                                 \
    PLACE(state_frame, 72) PLACE(cframe_frame, -1)
#define GILX_STACK_PLACES_11(PLACE)                                                   \
    GILX_STACK_PLACES(PLACE)                                                          \
    PLACE(state_frame, 56) PLACE(cframe_frame, 8)                                     \
    PLACE(chunk, 296) PLACE(top, 304) PLACE(limit, 312)                               \
    PLACE(code, 32) PLACE(previous, 48) PLACE(instr, 56) PLACE(owner, 69)             \
    PLACE(locals, 72) PLACE(tag, 0) PLACE(end_owner, 0)                               \
    PLACE(instructions, 184) PLACE(first_line, 72) PLACE(version, -1)                 \
    PLACE(string_ascii, 48) PLACE(string_compact, 72) PLACE(entry, 68)                \
    PLACE(collecting, 848) PLACE(garbage, 856)
#define GILX_STACK_PLACES_12(PLACE)                                                   \
    GILX_STACK_PLACES_SINCE_12(PLACE)                                                 \
    PLACE(state_frame, 56) PLACE(cframe_frame, 0)                                     \
    PLACE(chunk, 232) PLACE(top, 240) PLACE(limit, 248)                               \
    PLACE(owner, 70) PLACE(locals, 72) PLACE(tag, 0) PLACE(instructions, 192)         \
    PLACE(collecting, 312) PLACE(garbage, 320)
#define GILX_STACK_PLACES_13(PLACE)                                                   \
    GILX_STACK_PLACES_SINCE_13(PLACE)                                                 \
    PLACE(chunk, 232) PLACE(top, 240) PLACE(limit, 248)                               \
    PLACE(owner, 70) PLACE(locals, 72) PLACE(tag, 0) PLACE(instructions, 200)         \
    PLACE(collecting, 7600) PLACE(garbage, 7608)
#define GILX_STACK_PLACES_14(PLACE)                                                   \
    GILX_STACK_PLACES_SINCE_13(PLACE)                                                 \
    PLACE(chunk, 232) PLACE(top, 240) PLACE(limit, 248)                               \
    PLACE(owner, 74) PLACE(locals, 80) PLACE(tag, 3) PLACE(instructions, 208)         \
    PLACE(collecting, 7600) PLACE(garbage, 7608)
#define GILX_STACK_PLACES_15(PLACE)                                                   \
    GILX_STACK_PLACES_SINCE_13(PLACE)                                                 \
    PLACE(chunk, 256) PLACE(top, 264) PLACE(limit, 272)                               \
    PLACE(owner, 74) PLACE(locals, 80) PLACE(tag, 3) PLACE(instructions, 208)         \
    PLACE(collecting, 7512) PLACE(garbage, 7528)

/* Python stacks of free-threaded builds. */
#define GILX_FREE_STACK_PLACES_14(PLACE)                                              \
    PLACE(state_frame, 72) PLACE(cframe_frame, -1)                                    \
    PLACE(chunk, 232) PLACE(top, 240) PLACE(limit, 248)                               \
    PLACE(code, 0) PLACE(previous, 8) PLACE(instr, 56) PLACE(owner, 78)               \
    PLACE(locals, 80) PLACE(tag, 1) PLACE(end_owner, 3) PLACE(entry, -1)              \
    PLACE(type, 24) PLACE(size, 32) PLACE(file, 128) PLACE(name, 144)                 \
    PLACE(line_table, 152) PLACE(consts, 40) PLACE(names, 48) PLACE(bytes, 48)        \
    PLACE(instructions, 232) PLACE(first_line, 84) PLACE(version, 108)                \
    PLACE(string_length, 32) PLACE(string_state, 48)                                  \
    PLACE(string_ascii, 56) PLACE(string_compact, 72)                                 \
    PLACE(collecting, 7600) PLACE(garbage, 7608)                                      \
    PLACE(copy_number, 72) PLACE(copies, 224) PLACE(first_copy, 8)                    \
    PLACE(own_references, 12) PLACE(shared_references, 16)
/* Members of gilx_free_layout. */
#define GILX_FREE_PLACES_14(PLACE)                                                    \
    PLACE(state, 44) PLACE(section, 176) PLACE(section_mutex, 8)                      \
    PLACE(object_mutex, 10) PLACE(object_type, 24) PLACE(object_size, 32)             \
    PLACE(type_name, 40)

/* Numbers of bits, which no header defines. */
#define GILX_STRING_BITS(BIT)                                                         \
    BIT(string_kind, 2) BIT(string_is_compact, 5) BIT(string_is_ascii, 6)
#define GILX_FREE_STRING_BITS(BIT)                                                    \
    BIT(string_kind, 8) BIT(string_is_compact, 11) BIT(string_is_ascii, 12)
/* clang-format on */

enum {
    /* Words of every table of offsets. */
    GILX_TABLE_COOKIE = 0,
    GILX_TABLE_VERSION = 1,
    GILX_TABLE_FREE_THREADED = 2,
    GILX_TABLE_WORDS = 36, /* no word that is used comes later */
};

/* The GIL's words, which lie side by side in this order in all versions so far. Words in
 * another order are not accepted: the order ties all of them to the one that follows the
 * switch interval. */
typedef struct {
    unsigned long interval;
    uintptr_t holder;
    int locked;
    unsigned long switches;
} gilx_gil_struct;

/* Places of the parts of a Python stack, in builds with a GIL only. They are offsets in
 * bytes, -1 if there is none, unless stated otherwise. */
typedef struct {
    int state_frame;       /* of a thread state: the innermost frame, or the cframe, a
                              structure on the C stack, that points to it */
    int cframe_frame;      /* of a cframe: the innermost frame; -1 if thread states point
                              to it themselves */
    int chunk, top, limit; /* of a thread state: the newest chunk of memory for frames,
                              the first free place in it, and its end */
    int code, previous;    /* of a frame: its code object, the frame that called it, */
    int instr, owner;      /* its current instruction, what it is part of (one byte), */
    int locals;            /* and the end of its header */
    int entry; /* of a frame: whether C code called it (one byte); -1 if such a frame has
                  one of another owner below it instead */
    int tag;   /* bits of a frame's `code` that are not part of an address */
    int end_owner;      /* the owner of the frame in which a stack ends */
    int type, size;     /* of an object: its type; of a code object or bytes: length */
    int instructions;   /* of a code object: the first instruction, */
    int first_line;     /* the first line (int), */
    int file, name;     /* the file and the qualified name, which are strings, */
    int line_table;     /* the places of instructions in the source, which are bytes, */
    int version;        /* a number that changes with the code (32 bits), */
    int consts, names;  /* and what the instructions refer to */
    int bytes;          /* of bytes: the first one */
    int string_length;  /* of a string: its length, */
    int string_state;   /* bits that say how it is stored (32 of them), */
    int string_ascii;   /* the first character if all are ASCII, */
    int string_compact; /* and if not */
    int string_kind;    /* numbers of bits in string_state: three that say how many
                           bytes a character has, */
    int string_is_compact; /* one that is set if characters follow the string's header, */
    int string_is_ascii;   /* and one that is set if all are ASCII */
    int collecting; /* of an interpreter: whether the garbage collector runs (int), */
    int garbage;    /* and gc.garbage, after which gc.callbacks comes */
    /* Threads of free-threaded builds run copies of the instructions. */
    int copy_number;    /* of a frame: the number of the copy that it runs (int); 0 is the
                           code object's own */
    int copies;         /* of a code object: the copies; 0 if there are none, */
    int first_copy;     /* and of these: the address of the first one */
    int own_references; /* of an object: how often its thread refers to it (32 bits), */
    int shared_references; /* and how often others do (64 bits, of which two are flags);
                              both 0 if the object begins with the only count */
} gilx_stack_layout;

/* Places in free-threaded builds alone; all 0 where they are not known. */
typedef struct {
    int state;         /* of a thread state: whether it is attached (int), */
    int section;       /* and its innermost critical section, with two bits of tags */
    int section_mutex; /* of a critical section: the mutex that it has locked */
    int object_mutex;  /* of an object: its lock, */
    int object_type;   /* its type, */
    int object_size;   /* and the length of what all objects begin with */
    int type_name;     /* of a type: its name, which ends with 0 */
} gilx_free_layout;

/* Places in one minor version, 0 where there is none. */
typedef struct {
    uint64_t version;         /* a release with these places, as in PY_VERSION_HEX */
    int runtime_gil;          /* the GIL in the runtime */
    int interpreter_gil;      /* the pointer to the GIL in an interpreter */
    int interpreter_threads;  /* an interpreter's first thread state */
    int next;                 /* of a thread state the next one, */
    int tid, id;              /* its native id, and its number, */
    int interpreter;          /* and its interpreter; */
    int runtime_interpreters; /* the runtime's newest interpreter, */
    int interpreter_next;     /* and of an interpreter the one that was made before */
    int table_threads;     /* words of the table of offsets: an interpreter's first thread
                              state, */
    int table_gil;         /* its pointer to its GIL, */
    int table_own_gil;     /* and the GIL that it contains, used or not; */
    int table_enabled;     /* within a GIL, whether it is on; */
    int table_locked;      /* within the GIL that an interpreter contains, but counted */
    int table_holder;      /* from the interpreter; */
    int table_next;        /* of a thread state the next one, */
    int table_tid;         /* its native id, */
    int table_waits;       /* whether it wants the GIL, */
    int table_interpreter; /* and its interpreter; */
    int table_interpreters;     /* the runtime's newest interpreter, */
    int table_interpreter_next; /* and of an interpreter the one that was made before */
    gilx_stack_layout stack;
    gilx_stack_layout free_stack; /* in free-threaded builds; all 0 if not known */
    gilx_free_layout free;
} gilx_layout;

/* Return the places in a version, as in PY_VERSION_HEX, or NULL if they are not known. */
const gilx_layout *gilx_layout_of(uint64_t version);

/* Return the places of Python stacks, or NULL if they are not known, as in free-threaded
 * builds, whether or not they run with a GIL. */
const gilx_stack_layout *gilx_stack_layout_of(const gilx_layout *layout,
                                              bool free_threaded);

/* Return the places in a free-threaded build that runs without a GIL, and those of its
 * Python stacks, or NULL if they are not known. */
const gilx_free_layout *gilx_free_layout_of(const gilx_layout *layout);
const gilx_stack_layout *gilx_free_stack_layout_of(const gilx_layout *layout);

/* Return whether places are the same in two versions. They stay as they are within a
 * minor version once it is final: between pre-releases, and from the last of these to the
 * final release, they may change. */
bool gilx_same_places(uint64_t one, uint64_t other);

#endif
