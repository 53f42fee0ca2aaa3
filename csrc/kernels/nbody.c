/* nbody: accelerations of all bodies, several bodies in step.
 *
 * Each body's sum runs over the others one after another; LANES bodies side by side give
 * the square root and the division, which bind it, something to overlap with.
 */
#include <math.h>

#include "kernels.h"

enum {
    LANES = 8,
    STRIDE = 1024, /* bodies between looks at the poll */
    POLL = 1 << 17 /* interactions between polls: some 0.3 ms */
};

typedef struct {
    const double *x, *y, *z, *mass;
    double softening;
    int64_t bodies;
} system;

/* Accelerations of LANES bodies at (x, y, z), into sum. False when asked to stop. */
static bool accelerate(const system *all, const double *x, const double *y,
                       const double *z, double sum[3][LANES], gilx_poll *poll) {
    const double soft = all->softening * all->softening;
    for (int64_t begin = 0; begin < all->bodies; begin += STRIDE) {
        int64_t end = all->bodies - begin < STRIDE ? all->bodies : begin + STRIDE;
        for (int64_t j = begin; j < end; ++j) {
            for (int lane = 0; lane < LANES; ++lane) {
                double dx = all->x[j] - x[lane];
                double dy = all->y[j] - y[lane];
                double dz = all->z[j] - z[lane];
                double q = ((dx * dx + dy * dy) + dz * dz) + soft;
                double w = all->mass[j] / (q * sqrt(q));
                w = q > 0.0 ? w : 0.0;
                sum[0][lane] += dx * w;
                sum[1][lane] += dy * w;
                sum[2][lane] += dz * w;
            }
        }
        if (gilx_poll_stops(poll, LANES * (end - begin))) {
            return false;
        }
    }
    return true;
}

int gilx_nbody(const gilx_argument *arguments, int64_t start, int64_t stop,
               gilx_control *control) {
    const system all = {
        .x = arguments[0].data,
        .y = arguments[1].data,
        .z = arguments[2].data,
        .mass = arguments[3].data,
        .softening = arguments[4].real,
        .bodies = arguments[0].shape[0],
    };
    double *out = arguments[5].data;
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};

    for (int64_t item = start; item < stop; item += LANES) {
        const int64_t count = stop - item < LANES ? stop - item : LANES;
        double x[LANES], y[LANES], z[LANES], sum[3][LANES] = {{0}};
        for (int64_t lane = 0; lane < LANES; ++lane) {
            /* Lanes beyond the end repeat the last body. */
            int64_t body = item + (lane < count ? lane : count - 1);
            x[lane] = all.x[body];
            y[lane] = all.y[body];
            z[lane] = all.z[body];
        }
        if (!accelerate(&all, x, y, z, sum, &poll)) {
            return GILX_STOPPED;
        }
        for (int64_t lane = 0; lane < count; ++lane) {
            for (int axis = 0; axis < 3; ++axis) {
                out[(item + lane) * 3 + axis] = sum[axis][lane];
            }
        }
    }
    return GILX_DONE;
}
