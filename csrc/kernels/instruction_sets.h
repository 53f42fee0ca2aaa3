/* Instruction sets: each kernel is compiled for several, and the widest that the machine
 * has is chosen at load, so that one build runs everywhere. each_instruction_set.h says
 * how a kernel is written. Whatever the set, a kernel's operations and their order are
 * the same, so its results are the same bits; none of the sets has a fused multiply-add.
 */
#ifndef GILX_KERNELS_INSTRUCTION_SETS_H
#define GILX_KERNELS_INSTRUCTION_SETS_H

#include <stdbool.h>

#if !defined(__GNUC__) && !defined(__clang__)
#error "gilx: the kernels are written for gcc and clang: they use their vector types"
#endif

/* From the narrowest to the widest. On processors without a choice, such as aarch64, the
 * baseline is the only one. So it is with clang-cl, whose linker is not given the library
 * by which the processor is asked. */
typedef enum { GILX_BASELINE, GILX_AVX2, GILX_AVX512, GILX_ISA_COUNT } gilx_isa;

#if defined(__x86_64__) && !defined(_MSC_VER)
#define GILX_HAS_ISAS 1
#else
#define GILX_HAS_ISAS 0
#endif

/* Their names, as users write them. */
extern const char *const gilx_isa_names[GILX_ISA_COUNT];

/* Whether this machine, its operating system and this build have it. */
bool gilx_isa_available(gilx_isa isa);

/* Choose the widest one, unless one was chosen before: for the first load of the module.
 * Any number of threads may do so at once. */
void gilx_isa_choose_widest(void);

/* Use this one, which must be available, from each kernel's next call on. */
void gilx_isa_use(gilx_isa isa);

/* The one in use; the baseline until one is chosen. */
gilx_isa gilx_isa_in_use(void);

#endif
