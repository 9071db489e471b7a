// expect: moe: unsuitable backend: this is a plain loop over memory that the host cannot read here
#include "far.hpp"

double run(far_backend& b, moe::tape<float>& tape) {
#ifdef MOE_COMPILE_OK
    return moe::load_balance{}(b, tape);
#else
    return moe::token_entropy{}(b, tape);
#endif
}
