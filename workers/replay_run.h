// The engine of fettle replay: reads a capture, runs the rules over it on several threads and
// writes what they leave, in the order of the input and the same with any number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "core/capture.h"
#include "core/packet.h"
#include "rules/program.h"
#include "workers/capture_files.h"
#include "workers/progress.h"

namespace fettle {

struct ReplaySummary {
  uint64_t packets = 0;
  uint64_t not_ip = 0;
  double seconds = 0;
  ProgramCounters counters;
  std::vector<RuleCounters> rules;
  double per_second() const { return seconds > 0 ? static_cast<double>(packets) / seconds : 0; }
};

struct ReplayInput {
  const Program& program;
  Metadata metadata;  // of all packets
  CaptureReader reader;
  CaptureWriter writer;
  CaptureFiles captures;  // of the program
  unsigned threads = 1;
};

// A capture that is damaged is passed on to its end all the same; the error comes back then. The
// summary is filled in any case. Lines of "log" steps go to standard error.
Result<void> run_replay(ReplayInput input, Progress& progress, ReplaySummary* summary);

}  // namespace fettle
