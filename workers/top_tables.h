// The tables of top's screen, each cut to so many lines as it is given.
#pragma once

#include <cstddef>
#include <vector>

#include "workers/top_model.h"
#include "workers/top_text.h"

namespace fettle {

struct TopFrame {
  const TopModel& model;
  const TopText& text;
  size_t width;     // columns, 80 at least
  double interval;  // seconds
};

// Each has a heading and then `rows` lines at most. One row for each queue, and one for all of them
// where there are several.
size_t queue_rows(const TopModel& model);
std::vector<TopLine> traffic_lines(const TopFrame& frame, size_t rows);
std::vector<TopLine> depth_lines(const TopFrame& frame, size_t rows);
std::vector<TopLine> loss_lines(const TopFrame& frame, size_t rows);
std::vector<TopLine> rule_lines(const TopFrame& frame, size_t rows);
// Of the rule that is picked; three lines, none without one.
std::vector<TopLine> picked_lines(const TopFrame& frame);

}  // namespace fettle
