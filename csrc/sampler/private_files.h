/* A table of open files that is the calling thread's alone. */
#ifndef GILX_SAMPLER_PRIVATE_FILES_H
#define GILX_SAMPLER_PRIVATE_FILES_H

#include <stdbool.h>

/* Give the calling thread a table of descriptors of its own, with none of the program's
 * but `kept`, if that is not negative. What this thread opens from then on no other
 * thread can close, replace or use, and the program keeps all of its numbers; the files
 * are closed when the thread ends. Returns false, and changes nothing, if Linux refuses:
 * before 5.9, or under a seccomp profile.
 */
bool gilx_take_private_files(int kept);

#endif
