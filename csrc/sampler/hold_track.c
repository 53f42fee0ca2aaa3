#include "hold_track.h"

/* Without a waiter, a hold is not believed to go on over a gap that is longer, although
 * it may. */
static const int64_t LONGEST_GAP_NS = 100 * 1000 * 1000;

static int64_t greater_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

gilx_hold_track gilx_hold_track_from(int64_t begin_ns) {
    return (gilx_hold_track){.last = {.at_ns = begin_ns}, .before_ns = begin_ns};
}

int gilx_hold_goes_on(const gilx_hold_track *track, const gilx_hold_sample *sample) {
    const gilx_hold_sample *last = &track->last;
    if (!last->held || !sample->held || last->holder != sample->holder ||
        last->switches != sample->switches) {
        return 0;
    }
    return track->awaited ? 1 : -1;
}

static void note(gilx_hold_track *track, int64_t low, int64_t high) {
    track->longest.low = greater_of(track->longest.low, low);
    track->longest.high = greater_of(track->longest.high, high);
}

void gilx_hold_track_add(gilx_hold_track *track, const gilx_hold_sample *sample) {
    const int on = gilx_hold_goes_on(track, sample);
    const bool gap = sample->at_ns - track->last.at_ns > LONGEST_GAP_NS;
    if (on == 1 || (on == -1 && sample->stands == GILX_STANDS && !gap)) {
        track->awaited = track->awaited || sample->awaited;
    } else {
        const bool held = track->last.held;
        note(track, held ? track->last.at_ns - track->first_ns : 0,
             sample->at_ns - track->before_ns);
        if (on == 0 || sample->stands == GILX_MOVED) {
            track->before_ns = sample->held ? track->last.at_ns : sample->at_ns;
        }
        track->first_ns = sample->at_ns;
        track->awaited = sample->held && sample->awaited;
    }
    track->last = *sample;
}

gilx_hold_length gilx_hold_track_take(gilx_hold_track *track, int64_t now) {
    const bool held = track->last.held;
    note(track, held ? track->last.at_ns - track->first_ns : 0, now - track->before_ns);
    const gilx_hold_length longest = track->longest;
    track->longest = (gilx_hold_length){0, 0};
    return longest;
}
