// A worker process: one queue, one CPU, until it is told to stop. Never returns to its caller's
// code with the supervisor's state in hand: the exit status is all that comes back.
#pragma once

#include "workers/heritage.h"

namespace fettle {

// Exit status of a worker that ended as ordered; anything else is a failure.
inline constexpr int kWorkerDone = 0;

// Runs in the forked child. SIGTERM drains like Order::kDrain.
int run_worker(Heritage heritage);

// Gives every packet of the queue with an id at or below `id` this verdict (NF_*), unseen.
// False: the kernel did not take the message.
bool release_up_to(int queue_fd, uint16_t queue, uint32_t id, uint32_t verdict);

}  // namespace fettle
