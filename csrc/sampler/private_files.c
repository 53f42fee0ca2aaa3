#define _GNU_SOURCE /* for syscall */

#include "private_files.h"

#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* everywhere but on Alpha */
#endif

enum { UNSHARE = 2 }; /* CLOSE_RANGE_UNSHARE, which C libraries know only of late */

static bool close_range_of(unsigned first, unsigned last, unsigned flags) {
    return first > last || syscall(SYS_close_range, first, last, flags) == 0;
}

bool gilx_take_private_files(int kept) {
    /* To unshare them first would need a permission that containers often lack. */
    if (kept < 0) {
        return close_range_of(0, UINT_MAX, UNSHARE);
    }
    const unsigned one = (unsigned)kept;
    if (one == 0) {
        return close_range_of(1, UINT_MAX, UNSHARE);
    }
    return close_range_of(0, one - 1, UNSHARE) && close_range_of(one + 1, UINT_MAX, 0);
}
