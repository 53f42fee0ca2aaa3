/* mandelbrot: escape counts on a grid, several neighbouring points in step.
 *
 * One point is a chain of dependent operations, so a single chain leaves most of the
 * floating-point units idle. LANES chains side by side keep them busy, and let the
 * compiler use whatever vector width it is allowed.
 */
#include "kernels.h"

enum {
    LANES = 8,
    STRIDE = 8,  /* iterations between looks whether any point is still inside */
    POLL = 65536 /* iterations of a block between polls: some 0.3 ms */
};

/* Escape counts of LANES points. Returns false when asked to stop. */
static bool escape_counts(const double *re, double im, int32_t max_iter, int32_t *count,
                          gilx_poll *poll) {
    double zr[LANES] = {0}, zi[LANES] = {0}, inside[LANES], counted[LANES] = {0};
    for (int lane = 0; lane < LANES; ++lane) {
        inside[lane] = 1.0;
    }
    int32_t left = max_iter;
    while (left > 0) {
        int32_t stride = left < STRIDE ? left : STRIDE;
        for (int32_t step = 0; step < stride; ++step) {
            for (int lane = 0; lane < LANES; ++lane) {
                double rr = zr[lane] * zr[lane];
                double ii = zi[lane] * zi[lane];
                double ri = zr[lane] * zi[lane];
                /* Once out, a point stays out, wherever its z goes from there. */
                inside[lane] = rr + ii <= 4.0 ? inside[lane] : 0.0;
                counted[lane] += inside[lane];
                zr[lane] = (rr - ii) + re[lane];
                zi[lane] = (ri + ri) + im;
            }
        }
        left -= stride;
        double any = 0.0;
        for (int lane = 0; lane < LANES; ++lane) {
            any += inside[lane];
        }
        if (any == 0.0) {
            break;
        }
        if (gilx_poll_stops(poll, stride)) {
            return false;
        }
    }
    for (int lane = 0; lane < LANES; ++lane) {
        count[lane] = (int32_t)counted[lane];
    }
    return true;
}

int gilx_mandelbrot(const gilx_argument *arguments, int64_t start, int64_t stop,
                    gilx_control *control) {
    const double *re = arguments[0].data;
    const double *im = arguments[1].data;
    const int32_t max_iter = (int32_t)arguments[2].integer;
    int32_t *out = arguments[3].data;
    const int64_t width = arguments[0].shape[0];
    gilx_poll poll = {.control = control, .every = POLL, .left = POLL};

    if (width == 0) {
        return GILX_DONE;
    }
    for (int64_t row = start; row < stop; ++row) {
        int32_t *counts = out + row * width;
        for (int64_t column = 0; column < width; column += LANES) {
            int64_t points = width - column < LANES ? width - column : LANES;
            double c[LANES];
            int32_t found[LANES];
            for (int64_t lane = 0; lane < LANES; ++lane) {
                /* Lanes beyond the row get a point that leaves at once. */
                c[lane] = lane < points ? re[column + lane] : 4.0;
            }
            /* Points that are given up at once must poll as well. */
            if (gilx_poll_stops(&poll, 4) ||
                !escape_counts(c, im[row], max_iter, found, &poll)) {
                return GILX_STOPPED;
            }
            for (int64_t lane = 0; lane < points; ++lane) {
                counts[column + lane] = found[lane];
            }
        }
    }
    return GILX_DONE;
}
