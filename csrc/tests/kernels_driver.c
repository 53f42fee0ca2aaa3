/* Runs every kernel on several threads that share one counter, for the thread sanitizer
 * and for valgrind: each must do its items and no others', give the bits that one thread
 * gives, and stop when the counter is cancelled. What a kernel takes is made from its
 * signature. Exit status 0 if all was so; prints a digest of all results for each
 * instruction set, which is the same for every set, compiler and processor. */
#define _GNU_SOURCE

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/instruction_sets.h"
#include "../python/signatures.h"
#include "../platform/clock.h"
#include "../team/counter.h"
#include "../team/team.h"

enum { WORKERS = 3, LENGTH = 5 };

static void fail(const char *kernel, const char *what) {
    (void)fprintf(stderr, "kernels_driver: %s: %s\n", kernel, what);
    exit(1);
}

/* ---- arguments from a signature --------------------------------------------------- */

static const size_t item_sizes[] = {
    [GILX_uint8] = 1, [GILX_int32] = 4, [GILX_int64] = 8, [GILX_float64] = 8};

/* Memory of an array, filled so that any kernel can use it. Returns its bytes. */
static size_t make_array(gilx_argument *it, const gilx_signature *signature,
                         const gilx_parameter *parameter, const int64_t *sizes) {
    int64_t items = 1;
    for (int i = 0; i < parameter->dimensions; ++i) {
        it->shape[i] = gilx_axis_length(&parameter->axes[i], sizes);
        items *= it->shape[i];
    }
    const size_t bytes = (size_t)items * item_sizes[parameter->type];
    it->data = malloc(bytes);
    if (it->data == NULL) {
        fail(signature->name, "no memory");
    }
    for (int64_t i = 0; i < items; ++i) {
        if (parameter->kind == GILX_OFFSETS) {
            ((int64_t *)it->data)[i] = i * LENGTH;
        } else if (parameter->type == GILX_float64) {
            ((double *)it->data)[i] = (double)(i % 7) / 8 - 0.25;
        } else if (parameter->type == GILX_uint8) {
            ((unsigned char *)it->data)[i] = (unsigned char)(i * i);
        } else {
            memset((char *)it->data + (size_t)i * item_sizes[parameter->type], 0,
                   item_sizes[parameter->type]);
        }
    }
    return bytes;
}

static int64_t number_for(const gilx_parameter *parameter, int64_t size) {
    const bool piece =
        strcmp(parameter->name, "block") == 0 || strcmp(parameter->name, "segment") == 0;
    const int64_t wanted = piece ? 1 + size / 16 : size;
    const int64_t most = wanted < parameter->greatest ? wanted : parameter->greatest;
    return most > parameter->least ? most : parameter->least;
}

/* Fill in all arguments; returns the bytes of the last, the output. */
static size_t make_arguments(gilx_argument *arguments, const gilx_signature *signature,
                             int64_t size) {
    size_t bytes = 0;
    int64_t sizes[GILX_MAX_SIZES];
    memset(arguments, 0, GILX_MAX_PARAMETERS * sizeof *arguments);
    for (int i = 0; i < GILX_MAX_SIZES; ++i) {
        sizes[i] = size;
    }
    for (int i = 0; i < signature->count; ++i) {
        const gilx_parameter *parameter = &signature->parameters[i];
        arguments[i].integer = sizes[i] = number_for(parameter, size);
        arguments[i].real = 0.125;
        if (parameter->kind == GILX_OFFSETS) {
            sizes[parameter[-1].axes[0].size] =
                size * LENGTH; /* of strings, end to end */
        }
    }
    for (int i = 0; i < signature->count; ++i) {
        const gilx_parameter *parameter = &signature->parameters[i];
        if (parameter->kind != GILX_INTEGER && parameter->kind != GILX_REAL) {
            bytes = make_array(&arguments[i], signature, parameter, sizes);
        }
    }
    return bytes;
}

static void free_arguments(gilx_argument *arguments) {
    for (int i = 0; i < GILX_MAX_PARAMETERS; ++i) {
        free(arguments[i].data);
    }
}

/* All outputs so far, by FNV-1a. */
static uint64_t digest;

static void digest_bytes(const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
        digest = (digest ^ ((const unsigned char *)data)[i]) * 0x100000001b3U;
    }
}

/* ---- regions ---------------------------------------------------------------------- */

typedef struct {
    gilx_body *body;
    const gilx_argument *arguments;
    gilx_counter counter;
    _Atomic int64_t done;
    atomic_bool cancels; /* worker 0 cancels in place of working */
} region;

static void work(void *context, int worker) {
    region *it = context;
    gilx_control control = {.stop = &it->counter.state->cancelled, .tick = NULL};
    gilx_share share = {.counter = &it->counter};
    if (worker == 0 && atomic_load(&it->cancels)) {
        gilx_sleep_ns(1000 * 1000);
        gilx_counter_cancel(&it->counter);
        return;
    }
    while (gilx_share_next(&share)) {
        if (it->body(it->arguments, share.start, share.stop, &control) != GILX_DONE) {
            return;
        }
    }
    atomic_fetch_add(&it->done, share.done);
}

static void drive(gilx_team *team, const gilx_signature *signature, gilx_body *body) {
    for (int64_t size = 2; size <= 40; size += 19) {
        gilx_argument arguments[GILX_MAX_PARAMETERS];
        const size_t bytes = make_arguments(arguments, signature, size);
        const gilx_argument *out = &arguments[signature->count - 1];
        const int64_t items = out->shape[0];
        gilx_control alone = {.stop = NULL, .tick = NULL};
        if (body(arguments, 0, items, &alone) != GILX_DONE) {
            fail(signature->name, "one thread did not end well");
        }
        void *right = malloc(bytes);
        if (right == NULL) {
            fail(signature->name, "no memory");
        }
        memcpy(right, out->data, bytes);
        digest_bytes(right, bytes);
        for (int64_t grain = 1; grain <= 3; ++grain) {
            region it = {.body = body, .arguments = arguments};
            memset(out->data, 0xA5, bytes);
            gilx_counter_init(&it.counter, 0, items, grain);
            if (gilx_team_run(team, work, &it, NULL) != 0) {
                fail(signature->name, "a region was refused");
            }
            if (atomic_load(&it.done) != items) {
                fail(signature->name, "not every item was done");
            }
            if (memcmp(out->data, right, bytes) != 0) {
                fail(signature->name, "other bits than from one thread");
            }
        }
        free(right);
        free_arguments(arguments);
    }
}

static void cancel(gilx_team *team, const gilx_signature *signature, gilx_body *body) {
    gilx_argument arguments[GILX_MAX_PARAMETERS];
    make_arguments(arguments, signature, 400);
    region it = {.body = body, .arguments = arguments};
    atomic_store(&it.cancels, true);
    gilx_counter_init(&it.counter, 0, arguments[signature->count - 1].shape[0], 1);
    if (gilx_team_run(team, work, &it, NULL) != 0) {
        fail(signature->name, "a region was refused");
    }
    int64_t start, stop;
    if (gilx_counter_take(&it.counter, &start, &stop)) {
        fail(signature->name, "a cancelled counter hands out items");
    }
    free_arguments(arguments);
}

/* A tick that says stop at once, as a signal handler that raises does. */
static bool say_stop(gilx_control *self) {
    (void)self;
    return true;
}

/* Kernels whose work is bound by memory, for which long work takes too much of it to be
 * interrupted in a test from outside: at the first poll they return, and leave the end of
 * the output as it was. */
static void stop_early(const gilx_signature *signature, gilx_body *body) {
    static const struct {
        const char *kernel;
        int64_t size;
    } long_ones[] = {{"triad", 200 * 1000}, {"heat", 1000}, {"histogram", 32000000}};
    for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; ++i) {
        if (strcmp(signature->name, long_ones[i].kernel) != 0) {
            continue;
        }
        gilx_argument arguments[GILX_MAX_PARAMETERS];
        const size_t bytes = make_arguments(arguments, signature, long_ones[i].size);
        const gilx_argument *out = &arguments[signature->count - 1];
        memset(out->data, 0xA5, bytes);
        gilx_control control = {.stop = NULL, .tick = say_stop};
        if (body(arguments, 0, out->shape[0], &control) != GILX_STOPPED) {
            fail(signature->name, "did not stop");
        }
        if (((unsigned char *)out->data)[bytes - 1] != 0xA5) {
            fail(signature->name, "stopped only at the end");
        }
        free_arguments(arguments);
    }
}

int main(void) {
    static gilx_body *const bodies[] = {
#define BODY(name) gilx_##name,
        GILX_KERNELS(BODY)
#undef BODY
    };
    int error;
    gilx_team *team = gilx_team_start(WORKERS, 0, &error);
    if (team == NULL) {
        fail("team", strerror(error));
    }
    for (gilx_isa isa = GILX_BASELINE; isa < GILX_ISA_COUNT; ++isa) {
        if (!gilx_isa_available(isa)) {
            continue;
        }
        gilx_isa_use(isa);
        digest = 0xcbf29ce484222325U;
        for (int i = 0; i < GILX_KERNEL_COUNT; ++i) {
            drive(team, &gilx_signatures[i], bodies[i]);
            cancel(team, &gilx_signatures[i], bodies[i]);
            stop_early(&gilx_signatures[i], bodies[i]);
        }
        printf("kernels: fine, %016" PRIx64 " %s\n", digest, gilx_isa_names[isa]);
    }
    gilx_team_free(team);
    return 0;
}
