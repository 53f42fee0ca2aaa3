#include "instruction_sets.h"

#include <stdatomic.h>

const char *const gilx_isa_names[GILX_ISA_COUNT] = {
    [GILX_BASELINE] = "baseline",
    [GILX_AVX2] = "avx2",
    [GILX_AVX512] = "avx512",
};

/* GILX_ISA_COUNT: not chosen yet. */
static atomic_int in_use = GILX_ISA_COUNT;

bool gilx_isa_available(gilx_isa isa) {
#if GILX_HAS_ISAS
    /* These ask the operating system too, whether it saves the registers. */
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    if (isa == GILX_AVX2) {
        return avx2;
    }
    if (isa == GILX_AVX512) {
        return avx2 && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
#endif
    return isa == GILX_BASELINE;
}

void gilx_isa_choose_widest(void) {
    gilx_isa best = GILX_ISA_COUNT - 1;
    while (!gilx_isa_available(best)) {
        --best;
    }
    int unset = GILX_ISA_COUNT;
    atomic_compare_exchange_strong(&in_use, &unset, (int)best);
}

void gilx_isa_use(gilx_isa isa) {
    atomic_store(&in_use, (int)isa);
}

gilx_isa gilx_isa_in_use(void) {
    const int isa = atomic_load_explicit(&in_use, memory_order_relaxed);
    return isa == GILX_ISA_COUNT ? GILX_BASELINE : (gilx_isa)isa;
}
