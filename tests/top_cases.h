// What a supervisor may say, for the tests of `fettle top`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "workers/run_status.h"
#include "workers/top_model.h"

namespace fettle {

inline TopModel::Moment second(double seconds) {
  return TopModel::Moment{} + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

// A supervisor that has run for so long, with so many queues and rules, none of which counted.
inline RunStatus status_at(double seconds, size_t queues = 1, size_t rules = 0) {
  RunStatus out;
  out.version = "0.1.0";
  out.pid = 4242;
  out.phase = "running";
  out.up_ms = static_cast<uint64_t>(seconds * 1000);
  out.rule_file = "print-servers.toml";
  out.loaded_at = 1'700'000'000;
  for (size_t i = 0; i < queues; ++i) {
    QueueReport queue;
    queue.queue = static_cast<uint16_t>(i);
    queue.settings.length = 4096;
    queue.settings.fail_open = true;
    queue.worker.pid = 4243;
    queue.worker.state = "running";
    out.queues.push_back(std::move(queue));
  }
  for (size_t i = 0; i < rules; ++i) {
    out.rules.push_back({.name = fmt::format("rule {}", i), .hits = 0, .misses = 0});
  }
  return out;
}

}  // namespace fettle
