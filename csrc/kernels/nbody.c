/* nbody: accelerations of all bodies, several bodies in step.
 *
 * Each body's sum runs over the others one after another; CHAINS vectors of bodies side
 * by side give the square root and the division, which bind it, something to overlap
 * with.
 */
#ifndef GILX_NAME
#include <math.h>

#define GILX_NAME nbody
#define GILX_FILE "nbody.c"
#include "each_instruction_set.h"

#else

#define CHAINS 2
#define ABREAST (GILX_VECTOR / 8)
#define LANES (CHAINS * ABREAST)
#define STRIDE 1024    /* bodies between checks of the poll */
#define POLL (1 << 17) /* interactions between polls: some 0.3 ms */

typedef struct {
    const double *x, *y, *z, *mass;
    double softening;
    int64_t bodies;
} GILX_VARIANT(system);
#define system GILX_VARIANT(system)

static inline gilx_doubles GILX_VARIANT(root)(gilx_doubles x) {
    for (int lane = 0; lane < ABREAST; ++lane) {
        x[lane] = sqrt(x[lane]);
    }
    return x;
}

/* Accelerations of LANES bodies at (x, y, z), into sum. False when asked to stop. */
static bool GILX_VARIANT(accelerate)(const system *all, const double *x, const double *y,
                                     const double *z, double sum[3][LANES],
                                     gilx_poll *poll) {
    const double soft = all->softening * all->softening;
    gilx_doubles xi[CHAINS], yi[CHAINS], zi[CHAINS], ax[CHAINS], ay[CHAINS], az[CHAINS];
    for (int n = 0; n < CHAINS; ++n) {
        xi[n] = GILX_LOAD(x + n * ABREAST);
        yi[n] = GILX_LOAD(y + n * ABREAST);
        zi[n] = GILX_LOAD(z + n * ABREAST);
        ax[n] = ay[n] = az[n] = (gilx_doubles){0};
    }
    for (int64_t begin = 0; begin < all->bodies; begin += STRIDE) {
        int64_t end = all->bodies - begin < STRIDE ? all->bodies : begin + STRIDE;
        for (int64_t j = begin; j < end; ++j) {
            for (int n = 0; n < CHAINS; ++n) {
                const gilx_doubles dx = all->x[j] - xi[n];
                const gilx_doubles dy = all->y[j] - yi[n];
                const gilx_doubles dz = all->z[j] - zi[n];
                const gilx_doubles q = ((dx * dx + dy * dy) + dz * dz) + soft;
                const gilx_doubles pull = all->mass[j] / (q * GILX_VARIANT(root)(q));
                /* A comparison gives all bits or none: of what pulls, or of 0. */
                const gilx_doubles w =
                    (gilx_doubles)((gilx_words)pull & (gilx_words)(q > 0.0));
                ax[n] += dx * w;
                ay[n] += dy * w;
                az[n] += dz * w;
            }
        }
        if (gilx_poll_stops(poll, LANES * (end - begin))) {
            return false;
        }
    }
    for (int n = 0; n < CHAINS; ++n) {
        GILX_STORE(sum[0] + n * ABREAST, ax[n]);
        GILX_STORE(sum[1] + n * ABREAST, ay[n]);
        GILX_STORE(sum[2] + n * ABREAST, az[n]);
    }
    return true;
}

static int GILX_VARIANT(nbody)(const gilx_argument *arguments, int64_t start,
                               int64_t stop, gilx_control *control) {
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
        double x[LANES], y[LANES], z[LANES], sum[3][LANES];
        for (int64_t lane = 0; lane < LANES; ++lane) {
            /* Lanes beyond the end repeat the last body. */
            int64_t body = item + (lane < count ? lane : count - 1);
            x[lane] = all.x[body];
            y[lane] = all.y[body];
            z[lane] = all.z[body];
        }
        if (!GILX_VARIANT(accelerate)(&all, x, y, z, sum, &poll)) {
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

#undef CHAINS
#undef ABREAST
#undef LANES
#undef STRIDE
#undef POLL
#undef system

#endif
