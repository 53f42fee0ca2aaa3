#define _GNU_SOURCE /* for F_DUPFD_CLOEXEC */

#include "log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "safe_memory.h"

enum {
    PATIENCE_MS = 5, /* for a reader that is slow; */
    TRIES = 4,       /* of one text, so often */
};

/* Open the file of a descriptor anew: flags such as O_NONBLOCK belong to an open file,
 * which the program shares. Returns -1 if that is not possible. */
static int open_anew(int descriptor) {
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int gilx_log_open(gilx_log *log, int descriptor) {
    struct stat status;
    *log = (gilx_log){.file = -1};
    if (fstat(descriptor, &status) != 0) {
        return errno;
    }
    const bool pipe = S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode);
    log->socket = S_ISSOCK(status.st_mode);
    int file = pipe ? open_anew(descriptor) : -1;
    if (file < 0) {
        log->may_block = pipe;
        /* Other files share their position with the program. */
        file = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    }
    if (file < 0) {
        return errno;
    }
    log->file = gilx_high_descriptor(file);
    return 0;
}

/* Whether the file takes something within so many milliseconds. */
static bool is_ready(const gilx_log *log, int milliseconds) {
    struct pollfd file = {.fd = log->file, .events = POLLOUT};
    return poll(&file, 1, milliseconds) == 1 && (file.revents & POLLOUT) != 0;
}

/* Write a part. Returns how many bytes, or -1 with errno set. */
static ssize_t write_part(const gilx_log *log, const char *text, size_t size) {
    if (log->socket) {
        return send(log->file, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (log->may_block && !is_ready(log, 0)) {
        errno = EAGAIN;
        return -1;
    }
    return write(log->file, text, size);
}

void gilx_log_write(gilx_log *log, const char *text, size_t size) {
    int tries = TRIES;
    if (log->file < 0) {
        return;
    }
    if (log->cut && write_part(log, "\n", 1) == 1) {
        log->cut = false;
    }
    while (size > 0) {
        /* A pipe that is ready takes as much in one piece. */
        const size_t most = size < PIPE_BUF ? size : PIPE_BUF;
        const ssize_t written = write_part(log, text, most);
        if (written > 0) {
            text += written;
            size -= (size_t)written;
        } else if (written == 0 || (errno != EINTR && errno != EAGAIN) || tries-- == 0) {
            break;
        } else if (errno == EAGAIN) {
            (void)is_ready(log, PATIENCE_MS);
        }
    }
    log->cut = log->cut || size > 0;
    log->dropped += (int64_t)size;
}

void gilx_log_close(gilx_log *log) {
    if (log->file >= 0) {
        close(log->file);
        log->file = -1;
    }
}
