/* Threads of an interpreter that runs without a GIL: whether they are attached to it, and
 * the locks that they wait for. They are read from outside, without stopping a thread.
 *
 * Pure C11: places of CPython's structs are data, see layouts.h, and the interpreter is
 * asked for nothing but what gilx_free_interpreter has.
 */
#ifndef GILX_SAMPLER_FREE_THREADS_H
#define GILX_SAMPLER_FREE_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "find_gil.h"
#include "layouts.h"
#include "safe_memory.h"
#include "sampler.h"

/* Values of a thread state's `state`. Others are those of an interpreter that ends. */
enum {
    GILX_STATE_DETACHED,
    GILX_STATE_ATTACHED,
    GILX_STATE_SUSPENDED, /* detached, and not to be attached until the world goes on */
};

/* Places of the words that are read of an interpreter's threads. */
struct gilx_free_threads {
    gilx_free_layout places;
    gilx_thread_state_layout states;
    uintptr_t type_of_types;
    bool sections;             /* whether critical sections are read */
    uintptr_t world;           /* address of the words on stops; 0 if not read */
    const char *world_missing; /* reason that these are not read, or an empty text */
    const void *gil_enabled;   /* int: INT_MAX if the GIL is on after all */
};

/* The interpreter of the calling thread, which is attached. */
typedef struct gilx_free_interpreter {
    gilx_interpreter *base;
    /* Call inside(context) while all other threads of the interpreter are stopped;
     * return whether it was called. */
    bool (*stop)(struct gilx_free_interpreter *interpreter, void (*inside)(void *context),
                 void *context);
    /* Call inside(context) in a critical section; return the address of the object whose
     * lock is taken there, 0 if that can't be done. */
    uintptr_t (*lock)(struct gilx_free_interpreter *interpreter,
                      void (*inside)(void *context), void *context);
    uintptr_t type_of_types;
} gilx_free_interpreter;

/* Find out where the interpreter keeps what is read of its threads, and certify it.
 * Returns false if it can't be watched, with the reason in `trouble`. It can be watched
 * without critical sections and without the words on stops; if these can't be certified,
 * they are not read, and `sections` and `world` say so.
 *
 * A thread's state must say that the caller is attached, and with it detached for a
 * moment, that it is not. Critical sections must show the caller in one. The words on
 * stops of the world are searched for in the interpreter, during a stop that the caller
 * asks for, and have to follow further stops.
 */
bool gilx_free_threads_find(gilx_free_threads *threads, gilx_memory *memory,
                            gilx_free_interpreter *interpreter, char trouble[300]);

/* What is read of a thread at one moment. */
typedef struct {
    bool known;
    int state;
    bool wants_lock; /* it is about to take the lock of an object, or waits for it */
} gilx_free_reading;

/* Read a thread by its thread state, if that belongs to the thread with id `tid`. */
gilx_free_reading gilx_free_read(const gilx_free_threads *threads, gilx_memory *memory,
                                 uintptr_t state, int64_t tid);

typedef enum {
    GILX_WAIT_UNKNOWN, /* not in CPython's own way */
    GILX_WAIT_MUTEX,
    GILX_WAIT_EVENT, /* that happens once */
    GILX_WAIT_WORLD, /* until all threads have stopped, or may go on */
} gilx_wait_kind;

typedef struct {
    gilx_wait_kind kind;
    uintptr_t address; /* of what it waits for */
} gilx_wait;

/* Return what a thread that sleeps on a futex waits for, by the futex's address and by
 * the thread's state, which is 0 if it is not known. */
gilx_wait gilx_free_wait(const gilx_free_threads *threads, gilx_memory *memory,
                         uintptr_t futex, uintptr_t state);

enum { GILX_TYPE_NAME_SIZE = 64 };

/* Read the name of the type of the object that has its lock at an address. Returns false
 * if that is not an object's lock; the object may be gone. */
bool gilx_free_type_of(const gilx_free_threads *threads, gilx_memory *memory,
                       uintptr_t lock, char name[GILX_TYPE_NAME_SIZE]);

/* Return the address of the futex in a text of proc_pid_syscall(5). */
uintptr_t gilx_futex_in(const char *text);

#endif
