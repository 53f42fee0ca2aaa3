/* Reads another process, a child that has a GIL which is only a few words.
 *
 * The exit status is 0 if the child's memory and symbols are read as they are, if the
 * sampler finds which of its threads hold the GIL and how many wait, and if it ends when
 * the child does, or executes another program. Prints why if nothing could be tested: the
 * system may forbid reading.
 */
#define _GNU_SOURCE

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "../sampler/elf_symbols.h"
#include "../sampler/find_gil.h"
#include "../sampler/linux_threads.h"
#include "../sampler/nested_ids.h"
#include "../sampler/private_files.h"
#include "../sampler/process_gil.h"
#include "../sampler/sampler.h"
#include "await_samples.h"

enum {
    THREADS = 2,
    TURN_NS = 2 * 1000 * 1000,
    WATCH_NS = 200 * 1000 * 1000,
    MOST_WAITED = 6000, /* times 10 ms, for something that happens soon */
};

/* As CPython has it, but for what comes after the first condition variable. */
typedef struct {
    struct {
        unsigned long interval;
        _Atomic uintptr_t holder;
        _Atomic int locked;
        _Atomic unsigned long switches;
    } words;
    pthread_cond_t condition;
    pthread_mutex_t mutex;
    pthread_cond_t other_condition;
    pthread_mutex_t other_mutex;
} fake_gil;

_Static_assert(sizeof(((fake_gil *)0)->words) == sizeof(gilx_gil_struct),
               "they are as there");

/* A thread state, from which the sampler reads the native id alone. */
typedef struct {
    unsigned long unused, tid;
} fake_state;

static fake_gil gil = {.words = {.interval = 5000},
                       .condition = PTHREAD_COND_INITIALIZER,
                       .mutex = PTHREAD_MUTEX_INITIALIZER};
static fake_state states[THREADS];
static unsigned char known[GILX_MOST_READ];

static void expect(bool truth, const char *what) {
    if (!truth) {
        (void)fprintf(stderr, "process_driver: not so: %s (%s)\n", what, strerror(errno));
        exit(1);
    }
}

static void skip(const char *why) {
    (void)printf("process_driver: nothing tested, since %s\n", why);
    exit(0);
}

/* ---- the child -------------------------------------------------------------------- */

/* Hold the GIL for most of the time; the second thread waits for it meanwhile. */
static void *run_thread(void *argument) {
    fake_state *own = argument;
    own->tid = (unsigned long)gilx_own_tid();
    for (;;) {
        pthread_mutex_lock(&gil.mutex);
        while (atomic_load(&gil.words.locked)) {
            (void)pthread_cond_wait(&gil.condition, &gil.mutex);
        }
        atomic_store(&gil.words.locked, 1);
        if (atomic_exchange(&gil.words.holder, (uintptr_t)own) != (uintptr_t)own) {
            atomic_fetch_add(&gil.words.switches, 1);
        }
        pthread_mutex_unlock(&gil.mutex);
        gilx_sleep_ns(TURN_NS);
        pthread_mutex_lock(&gil.mutex);
        atomic_store(&gil.words.locked, 0);
        pthread_cond_signal(&gil.condition);
        pthread_mutex_unlock(&gil.mutex);
    }
    return NULL;
}

/* Run the threads until a byte comes, then execute another program, or until killed. */
static void run_child(int ready, int go) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not to stay if a test fails */
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; ++i) {
        if (pthread_create(&threads[i], NULL, run_thread, &states[i]) != 0) {
            _exit(1);
        }
    }
    char byte = 0;
    while (atomic_load(&gil.words.switches) < 2) {
        gilx_sleep_ns(TURN_NS);
    }
    if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) {
        _exit(1);
    }
    execlp("sleep", "sleep", "60", (char *)NULL);
    _exit(1);
}

typedef struct {
    pid_t pid;
    int ready, go;
} child;

/* Start a child, perhaps in a PID namespace of its own; its pid is -1 if that is not
 * permitted. */
static child start_child_in(bool namespace) {
    int ready[2], go[2];
    expect(pipe(ready) == 0 && pipe(go) == 0, "pipes can be made");
    const pid_t pid =
        namespace ? (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWPID | SIGCHLD),
                                   NULL, NULL, NULL, NULL)
                  : fork();
    if (pid < 0 && namespace) {
        for (int i = 0; i < 2; ++i) {
            close(ready[i]);
            close(go[i]);
        }
        return (child){.pid = -1};
    }
    expect(pid >= 0, "a child can be made");
    if (pid == 0) {
        run_child(ready[1], go[0]);
    }
    close(ready[1]);
    close(go[0]);
    char byte;
    expect(read(ready[0], &byte, 1) == 1, "the child runs");
    return (child){.pid = pid, .ready = ready[0], .go = go[1]};
}

static child start_child(void) {
    return start_child_in(false);
}

static void end_child(const child *one) {
    (void)kill(one->pid, SIGKILL);
    (void)waitpid(one->pid, NULL, 0);
    close(one->ready);
    close(one->go);
}

/* ---- memory ----------------------------------------------------------------------- */

/* Open the child's memory; end all if it is not read as it is. */
static gilx_memory open_child(const child *one) {
    gilx_memory memory;
    unsigned char copy[sizeof(known)];
    if (!gilx_memory_open_process(&memory, one->pid)) {
        end_child(one);
        skip(strerror(errno));
    }
    if (!gilx_memory_read(&memory, known, copy, sizeof(copy)) ||
        memcmp(copy, known, sizeof(copy)) != 0) {
        gilx_memory_close(&memory);
        end_child(one);
        skip("memory lies elsewhere than programs have it");
    }
    return memory;
}

static void memory_is_read(const child *one) {
    gilx_memory memory = open_child(one);
    const uintptr_t from = (uintptr_t)known;
    const gilx_range ranges[] = {{from + 8, 8}, {from, 8}, {0, 8}, {from, 8}};
    for (int way = GILX_PROCESS_VM_READV; way <= GILX_PROC_SELF_MEM; ++way) {
        unsigned char copy[32] = {0};
        memory.way = (gilx_memory_way)way;
        const size_t size = gilx_memory_copy(&memory, ranges, 2, copy);
        if (size == 0 && way == GILX_PROCESS_VM_READV) {
            continue; /* it may be forbidden */
        }
        expect(size == 16 && memcmp(copy, known + 8, 8) == 0 &&
                   memcmp(copy + 8, known, 8) == 0,
               "ranges are read as they are");
        expect(gilx_memory_copy(&memory, ranges, 4, copy) == 16 && errno != 0,
               "reading stops where nothing is mapped");
        expect(!gilx_memory_read(&memory, NULL, copy, 8) && errno != 0 && errno != ESRCH,
               "nothing is read at 0");
        expect(!gilx_memory_read(&memory, (const void *)(UINTPTR_MAX - 8), copy, 8),
               "nor where programs have no memory");
    }
    gilx_memory_close(&memory);
    gilx_memory_close(&memory);
    expect(!gilx_memory_open_process(&memory, INT32_MAX) && errno == ENOENT,
           "a process that is not there can't be opened");
}

static void symbols_are_found(const child *one) {
    gilx_memory memory = open_child(one);
    gilx_mapped_file *files;
    const int count = gilx_mapped_files(one->pid, &files);
    expect(count > 0, "a process has files");
    const uintptr_t function = (uintptr_t)&pthread_cond_timedwait;
    expect(gilx_maps_file_of(files, count, (const void *)function),
           "parent and child have the same C library");
    expect(!gilx_maps_file_of(files, count, &count), "no file has the stack");
    /* Of some functions a library has several versions, but of this one. */
    const uintptr_t own = (uintptr_t)&getpid;
    int found = 0;
    for (int i = 0; i < count; ++i) {
        const uintptr_t place = gilx_exported_symbol(&memory, &files[i], "getpid");
        found += place != 0;
        expect(place == 0 || place == own, "a function is found at its address");
        expect(gilx_exported_symbol(&memory, &files[i], "gilx_no_such_symbol") == 0,
               "what is not there is not found");
    }
    /* A static program has no loader. */
    expect(found > 0 || getauxval(AT_BASE) == 0, "unless the program is static");
    free(files);
    expect(gilx_mapped_files(INT32_MAX, &files) < 0, "a process must be there");

    gilx_process_gil none;
    expect(gilx_process_gil_find(&none, &memory) == GILX_GIL_UNAVAILABLE &&
               strstr(none.gil.trouble, "no CPython is in it") != NULL,
           "a program without Python has no GIL");
    gilx_memory_close(&memory);
}

/* ---- a file that is made up ------------------------------------------------------- */

static const char NAMES[] = "\0first\0second";

/* A library with two symbols, both of which are in its only bucket. */
typedef struct {
    Elf64_Ehdr header;
    Elf64_Phdr parts[2];
    Elf64_Dyn dynamic[4];
    Elf64_Sym symbols[3];
    struct {
        uint32_t buckets, first, filter, shift;
        uint64_t bits;
        uint32_t bucket, chain[2];
    } hash;
    char names[sizeof(NAMES)];
} made_up_file;

static uint32_t hash_of_name(const char *name) {
    uint32_t hash = 5381;
    for (; *name != '\0'; ++name) {
        hash = hash * 33 + (unsigned char)*name;
    }
    return hash;
}

/* Make it; addresses in its dynamic section are those in memory, or in the file. */
static made_up_file make_file(uintptr_t start, bool relocated) {
    const uint64_t base = relocated ? start : 0;
    made_up_file made = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64},
                   .e_phoff = offsetof(made_up_file, parts),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2},
        .parts = {{.p_type = PT_LOAD},
                  {.p_type = PT_DYNAMIC, .p_vaddr = offsetof(made_up_file, dynamic)}},
        .dynamic = {{.d_tag = DT_SYMTAB,
                     .d_un = {.d_ptr = base + offsetof(made_up_file, symbols)}},
                    {.d_tag = DT_STRTAB,
                     .d_un = {.d_ptr = base + offsetof(made_up_file, names)}},
                    {.d_tag = DT_GNU_HASH,
                     .d_un = {.d_ptr = base + offsetof(made_up_file, hash)}}},
        .symbols = {{0},
                    {.st_name = 1, .st_shndx = 1, .st_value = 16},
                    {.st_name = 7, .st_shndx = 1, .st_value = 32}},
        .hash = {.buckets = 1,
                 .first = 1,
                 .filter = 1,
                 .bucket = 1,
                 .chain = {hash_of_name("first") & ~1U, hash_of_name("second") | 1U}},
    };
    memcpy(made.names, NAMES, sizeof(NAMES));
    return made;
}

/* `place` is memory that parent and child share. */
static void made_up_files_are_read(const child *one, made_up_file *place) {
    enum { ROUNDS = 2000, MOST_CHANGES = 4 };
    gilx_memory memory = open_child(one);
    const gilx_mapped_file file = {.start = (uintptr_t)place};
    for (int relocated = 0; relocated < 2; ++relocated) {
        *place = make_file(file.start, relocated != 0);
        expect(gilx_exported_symbol(&memory, &file, "first") == file.start + 16 &&
                   gilx_exported_symbol(&memory, &file, "second") == file.start + 32,
               "both symbols are found");
        expect(gilx_exported_symbol(&memory, &file, "third") == 0, "and no other one");
        place->symbols[1].st_shndx = SHN_UNDEF;
        expect(gilx_exported_symbol(&memory, &file, "first") == 0,
               "what a file needs of others is none of its own");
    }
    /* Whatever is there, the search ends. */
    uint64_t random = 1;
    for (int round = 0; round < ROUNDS; ++round) {
        *place = make_file(file.start, round % 2 != 0);
        const int changes = 1 + (int)(gilx_split_mix(&random) % MOST_CHANGES);
        for (int i = 0; i < changes; ++i) {
            const uint64_t where = gilx_split_mix(&random) % sizeof(*place);
            ((unsigned char *)place)[where] = (unsigned char)gilx_split_mix(&random);
        }
        (void)gilx_exported_symbol(&memory, &file, "second");
    }
    gilx_memory_close(&memory);
}

/* ---- the sampler ------------------------------------------------------------------ */

static gilx_sampler *start_sampler(const child *one) {
    const gilx_gil_words words = {.process = one->pid, .original = (uintptr_t)&gil.words};
    const gilx_sampler_options options = {
        .watched = one->pid,
        .cost = 0.2,
        .seed = 1,
        .capacity = 64,
        .states = {.tid = offsetof(fake_state, tid)},
        .lock_known = true,
    };
    gilx_memory memory = open_child(one);
    gilx_sampler *sampler = gilx_sampler_new(&words, &options, &memory);
    expect(sampler != NULL && gilx_sampler_start(sampler) == 0, "it starts");
    gilx_sampler_begin(sampler);
    return sampler;
}

static void holders_are_found(const child *one) {
    gilx_sampler *sampler = start_sampler(one);
    await_samples_for(sampler, WATCH_NS);
    expect(!gilx_sampler_lost(sampler), "the child is there");
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    const gilx_totals *totals = gilx_sampler_totals(sampler);
    const gilx_watched_thread *threads;
    const int count = gilx_sampler_threads(sampler, &threads);
    double held = totals->unidentified;
    expect(threads[0].tid == one->pid, "the main thread comes first");
    expect(threads[0].does.sums[GILX_HOLDS_GIL].time <= 0, "and holds nothing");
    for (int i = 1; i < count; ++i) {
        held += threads[i].does.sums[GILX_HOLDS_GIL].time;
    }
    expect(count > THREADS,
           "the child's threads are found"); /* a sanitizer has its own */
    expect(totals->wakes > 0 && totals->locked.x > 0, "holds are seen");
    expect(totals->unidentified <= 0, "by threads that are known");
    expect(held >= totals->locked.x * 0.999 && held <= totals->locked.x * 1.001,
           "the holders' shares make the whole");
    expect(totals->burst_ns == 0, "no clock of the child says how long holds are");
    if (totals->waiters.y > 0) {
        expect(totals->most_waiters <= (double)THREADS,
               "the threads that wait are counted");
    }
    gilx_sampler_free(sampler);
}

static void *try_private_files(void *argument) {
    *(bool *)argument = gilx_take_private_files(-1);
    return NULL;
}

/* Whether a thread may have files of its own here. */
static bool private_files_are_possible(void) {
    bool possible = false;
    pthread_t thread;
    expect(pthread_create(&thread, NULL, try_private_files, &possible) == 0 &&
               pthread_join(thread, NULL) == 0,
           "a thread can be started");
    return possible;
}

enum { MOST_FILES = 1024 };

/* Put another file in the place of each that is open, but for what the test needs.
 * Returns how many these were. */
static int replace_files(const child *one, bool replaced[MOST_FILES]) {
    const int other = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int count = 0;
    expect(other >= 0, "there is another file");
    for (int file = STDERR_FILENO + 1; file < MOST_FILES; ++file) {
        const bool needed = file == one->ready || file == one->go || file == other;
        replaced[file] = !needed && fcntl(file, F_GETFD) >= 0;
        if (replaced[file]) {
            expect(dup2(other, file) == file, "it can be put there");
            ++count;
        }
    }
    close(other);
    return count;
}

/* The program closes the sampler's files, and opens others with their numbers. The
 * sampler reads the child nevertheless; without files of its own, it reads nothing. */
static void replaced_files_do_no_harm(const child *one) {
    bool replaced[MOST_FILES] = {false};
    const bool private = private_files_are_possible();
    gilx_sampler *sampler = start_sampler(one);
    expect(replace_files(one, replaced) > 0, "the program has the memory's file");
    await_samples_for(sampler, WATCH_NS);
    expect(gilx_sampler_lost(sampler) == !private, "its own files are there");
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    const gilx_totals *totals = gilx_sampler_totals(sampler);
    expect(!private || (totals->locked.x > 0 && totals->unidentified <= 0),
           "holds are seen");
    expect(totals->switches < WATCH_NS, "switches are not those of another file");
    gilx_sampler_free(sampler);
    for (int file = 0; file < MOST_FILES; ++file) {
        expect(!replaced[file] || close(file) == 0, "the program's files stay open");
    }
}

/* The child goes away while it is watched: it is killed, or executes a program. */
static void loss_is_noticed(const child *one, bool killed) {
    gilx_sampler *sampler = start_sampler(one);
    gilx_sleep_ns(WATCH_NS / 4);
    if (killed) {
        (void)kill(one->pid, SIGKILL);
    } else {
        expect(write(one->go, "", 1) == 1, "the child can go on");
    }
    for (int i = 0; i < MOST_WAITED && !gilx_sampler_lost(sampler); ++i) {
        gilx_sleep_ns(10 * 1000 * 1000);
    }
    expect(gilx_sampler_lost(sampler), "that is noticed");
    const int64_t now = gilx_now_ns();
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    const gilx_totals *totals = gilx_sampler_totals(sampler);
    expect(totals->begin_ns <= totals->end_ns && totals->end_ns < now,
           "the watch ends when the child was last seen");
    expect(totals->switches < INT64_MAX, "switches do not count back");
    gilx_sampler_free(sampler);
}

/* A child in a PID namespace of its own knows its threads by other ids. */
static void nested_ids_are_mapped(void) {
    expect(!gilx_is_nested(getpid()), "this process has the ids that are known here");
    const child one = start_child_in(true);
    if (one.pid < 0) {
        (void)printf("process_driver: no PID namespaces tested: %s\n", strerror(errno));
        return;
    }
    expect(gilx_is_nested(one.pid), "the child has other ids");
    gilx_nested_ids *ids = gilx_nested_ids_new(one.pid);
    expect(ids != NULL, "there is memory");
    expect(gilx_outer_id(ids, 1) == one.pid, "its main thread is the first there");
    expect(gilx_outer_id(ids, 2) > one.pid, "others come after it");
    expect(gilx_outer_id(ids, 0) == 0 && gilx_outer_id(ids, 12345) == 0,
           "ids that are not there are not known");
    free(ids);
    holders_are_found(&one);
    end_child(&one);
}

int main(void) {
#if defined(GILX_EMULATED)
    skip("a process of an emulator is the emulator");
#endif
    for (size_t i = 0; i < sizeof(known); ++i) {
        known[i] = (unsigned char)(i * 37 + 11);
    }
    made_up_file *place = mmap(NULL, sizeof(*place), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    expect(place != MAP_FAILED, "memory can be shared");
    child one = start_child();
    memory_is_read(&one);
    made_up_files_are_read(&one, place);
    symbols_are_found(&one);
    holders_are_found(&one);
    replaced_files_do_no_harm(&one);
    loss_is_noticed(&one, false);
    end_child(&one);
    one = start_child();
    loss_is_noticed(&one, true);
    end_child(&one);
    nested_ids_are_mapped();
    return 0;
}
