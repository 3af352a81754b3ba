// The screen of `fettle top`: a model as the lines of a terminal. Pure; nothing here draws.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "workers/top_model.h"
#include "workers/top_text.h"

namespace fettle {

struct TopView {
  size_t width = 80;    // columns
  size_t height = 24;   // lines; 0: as many as there is to show
  bool utf8 = true;     // false: ASCII alone
  bool keys = true;     // somebody can press them
  bool help = false;    // the keys instead of the tables
  bool paused = false;  // what is shown is of an earlier time
  double interval = 1;  // seconds from sample to sample
};

// No more lines than `height`, none wider than `width`. Below 80 columns or 24 lines they say that
// this is too small.
std::vector<TopLine> top_screen(const TopModel& model, const TopView& view);

}  // namespace fettle
