#include "signatures.h"

const gilx_signature gilx_signatures[GILX_KERNEL_COUNT] = {GILX_SIGNATURES};

int64_t gilx_axis_length(const gilx_axis *axis, const int64_t *sizes) {
    const int64_t whole = axis->size < 0 ? 0 : sizes[axis->size];
    const int64_t part = axis->part < 0 ? 1 : sizes[axis->part];
    return whole / part + (whole % part != 0) + axis->more;
}
