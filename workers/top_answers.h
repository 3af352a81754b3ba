// Asks a supervisor for its status again and again, in a thread of its own: one that stands still
// keeps nobody from pressing keys.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "core/result.h"
#include "workers/control_client.h"
#include "workers/top_model.h"

namespace fettle {

struct TopAnswer {
  Result<RunStatus> status;
  TopModel::Moment at;
};

// Asks once, and waits for the answer.
TopAnswer ask_once(const ControlFlags& flags);

class TopAnswers {
 public:
  // Signals that are blocked in the caller are so in the thread. Errors: kOs.
  static Result<TopAnswers> start(const ControlFlags& flags, std::chrono::milliseconds interval);
  TopAnswers(TopAnswers&&) = default;
  // Does not wait for an answer that is still to come.
  ~TopAnswers();

  int fd() const;  // readable when there is an answer
  // The latest one that was not taken yet.
  std::optional<TopAnswer> take();

 private:
  struct Shared;
  explicit TopAnswers(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::shared_ptr<Shared> shared_;
};

}  // namespace fettle
