/* mandelbrot: escape counts on a grid, several neighbouring points in step.
 *
 * One point is a chain of dependent operations, so a single chain leaves most of the
 * floating-point units idle. CHAINS vectors of points side by side keep them busy.
 */
#ifndef GILX_NAME
#define GILX_NAME mandelbrot
#define GILX_FILE "mandelbrot.c"
#include "each_instruction_set.h"

#else

#define CHAINS 4
#define ABREAST (GILX_VECTOR / 8)
#define LANES (CHAINS * ABREAST)
#define STRIDE 8   /* iterations between checks that any point is still inside */
#define POLL 65536 /* iterations of a block between polls: some 0.3 ms */

/* Escape counts of LANES points. Returns false when asked to stop. */
static bool GILX_VARIANT(escape_counts)(const double *re, double im, int32_t max_iter,
                                        int32_t *count, gilx_poll *poll) {
    const gilx_doubles four = 4.0 - (gilx_doubles){0}, ci = im - (gilx_doubles){0};
    gilx_doubles zr[CHAINS], zi[CHAINS], cr[CHAINS];
    gilx_words inside[CHAINS], counted[CHAINS];
    for (int n = 0; n < CHAINS; ++n) {
        cr[n] = GILX_LOAD(re + n * ABREAST);
        zr[n] = zi[n] = (gilx_doubles){0};
        inside[n] = ~(gilx_words){0};
        counted[n] = (gilx_words){0};
    }
    int32_t left = max_iter;
    while (left > 0) {
        const int32_t stride = left < STRIDE ? left : STRIDE;
        for (int32_t step = 0; step < stride; ++step) {
            for (int n = 0; n < CHAINS; ++n) {
                const gilx_doubles rr = zr[n] * zr[n], ii = zi[n] * zi[n];
                const gilx_doubles ri = zr[n] * zi[n];
                /* Once out, a point stays out, wherever its z goes from there. */
                inside[n] &= (gilx_words)(rr + ii <= four);
                counted[n] -= inside[n];
                zr[n] = (rr - ii) + cr[n];
                zi[n] = (ri + ri) + ci;
            }
        }
        left -= stride;
        gilx_words any = inside[0];
        for (int n = 1; n < CHAINS; ++n) {
            any |= inside[n];
        }
        uint64_t found = 0;
        for (int lane = 0; lane < ABREAST; ++lane) {
            found |= any[lane];
        }
        if (found == 0) {
            break;
        }
        if (gilx_poll_stops(poll, stride)) {
            return false;
        }
    }
    for (int lane = 0; lane < LANES; ++lane) {
        count[lane] = (int32_t)counted[lane / ABREAST][lane % ABREAST];
    }
    return true;
}

static int GILX_VARIANT(mandelbrot)(const gilx_argument *arguments, int64_t start,
                                    int64_t stop, gilx_control *control) {
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
            const int64_t points = width - column < LANES ? width - column : LANES;
            double c[LANES];
            int32_t found[LANES];
            for (int64_t lane = 0; lane < LANES; ++lane) {
                /* Lanes beyond the row get a point that leaves at once. */
                c[lane] = lane < points ? re[column + lane] : 4.0;
            }
            /* Points that are given up at once must poll as well. */
            if (gilx_poll_stops(&poll, 4) ||
                !GILX_VARIANT(escape_counts)(c, im[row], max_iter, found, &poll)) {
                return GILX_STOPPED;
            }
            for (int64_t lane = 0; lane < points; ++lane) {
                counts[column + lane] = found[lane];
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

#endif
