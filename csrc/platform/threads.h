/* Threads that never run Python: the one place that starts them.
 *
 * Files that include this define _GNU_SOURCE, or _POSIX_C_SOURCE as 200809L.
 */
#ifndef GILX_PLATFORM_THREADS_H
#define GILX_PLATFORM_THREADS_H

#include <errno.h>
#include <stddef.h>

#if defined(_WIN32)
#include <process.h>
#include <stdint.h>
#include <stdlib.h>
#include <windows.h>
#else
#include <pthread.h>
#include <signal.h>
#endif

typedef void gilx_thread_body(void *argument);

typedef struct {
    gilx_thread_body *body;
    void *argument;
#if defined(_WIN32)
    HANDLE handle;
#else
    pthread_t handle;
#endif
} gilx_thread;

#if defined(_WIN32)
static inline unsigned __stdcall gilx_thread_main(void *thread) {
    const gilx_thread *self = thread;
    self->body(self->argument);
    return 0;
}
#else
static inline void *gilx_thread_main(void *thread) {
    const gilx_thread *self = thread;
    self->body(self->argument);
    return NULL;
}
#endif

/* Start a thread; *thread must stay where it is until the thread was joined. No signal
 * of the program is ever handled on it: those are for threads that run Python. Returns 0
 * or an errno value. */
static inline int gilx_thread_start(gilx_thread *thread, gilx_thread_body *body,
                                    void *argument) {
    thread->body = body;
    thread->argument = argument;
#if defined(_WIN32)
    thread->handle = (HANDLE)_beginthreadex(NULL, 0, gilx_thread_main, thread, 0, NULL);
    return thread->handle == NULL ? errno : 0;
#else
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the thread inherits the mask */
    const int error = pthread_create(&thread->handle, NULL, gilx_thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
#endif
}

/* Wait until the thread has returned. */
static inline void gilx_thread_join(gilx_thread *thread) {
#if defined(_WIN32)
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
#else
    pthread_join(thread->handle, NULL);
#endif
}

#endif
