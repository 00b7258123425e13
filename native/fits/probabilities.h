// The probabilities that a stream of grid values starts with, from the Laplace distribution's, made
// while compiling (docs/FORMAT.md, codec `fitted`).
#pragma once

#include <stdint.h>

namespace smalti {

constexpr int WIDTHS = 81; // inverse widths e^-6 .. e^4 in steps of 1/8
constexpr int PLACES = 17; // of the mean, -8/16 .. 8/16 from a whole number
constexpr int DEPTHS = 4;  // "one further" is learnt apart for the first so many

// Of 65536; each within 32 .. 65536 - 32.
struct Probabilities {
  int32_t nearest[WIDTHS][PLACES]; // the value is the whole number nearest to the mean
  int32_t above[WIDTHS][PLACES];   // otherwise: it is above
  int32_t further[WIDTHS][DEPTHS]; // it is one further
};

extern const Probabilities FIRST;

} // namespace smalti
