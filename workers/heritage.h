// What passes between the supervisor and a worker process. A worker inherits by fork: the queue's
// socket, the compiled program, and two shared mappings. Its predecessor's counters go on in the
// same page; the rules' counters begin anew with each program.
//
// Who writes what: the supervisor writes `order` and `next`; the worker writes all else, each of
// its threads its own counters of the program and of the rules. The worker looks at `order` once a
// batch; SIGUSR1 wakes it when it waits for packets.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "core/nfqueue_codec.h"
#include "core/shared_memory.h"
#include "rules/program.h"

namespace fettle {

enum class Order : uint32_t {
  kRun,
  kRetire,  // put `next` in force, finish what was queued before that, exit: a successor stands by
  kDrain,   // empty the queue, exit
};

// Single writer: the worker. Counts since the queue was bound.
struct LoopCounters {
  uint64_t batches = 0;  // calls of recvmmsg that brought something
  uint64_t idle = 0;     // that brought nothing; with `batches`, the worker's pulse
  uint64_t packets = 0;
  uint64_t stale_verdicts = 0;    // the packet was gone (ENOENT): flushed by the kernel
  uint64_t refused_verdicts = 0;  // any other errno
  uint64_t malformed_messages = 0;
  uint64_t failed_sends = 0;      // replies that the kernel did not take
  uint64_t overloads = 0;         // times that the queue was made shorter
  uint64_t held = 0;              // packets that waited for their verdict
  uint64_t not_held = 0;          // that were to, and found no room
  uint64_t stream_edited = 0;     // TCP segments that left as others
  uint64_t stream_split = 0;      // of these, with a part for the sender to repeat
  uint64_t stream_held = 0;       // that waited for those before or behind them
  uint64_t stream_timed_out = 0;  // of these, for what might have been the rest of a match
  uint64_t stream_dropped = 0;    // for the sender to repeat
  uint64_t recovered = 0;         // left by a worker that died, and answered by its successor
  uint64_t given_up = 0;          // that it had in hand when it died: WorkerOptions::on_crash
  // Written by all threads, by atomic additions.
  uint64_t captured = 0;
  uint64_t not_captured = 0;  // the buffer was full, or the file took no more
};

inline constexpr uint32_t kMostThreads = 16;  // of one worker

struct alignas(64) ThreadCounters : ProgramCounters {};

struct WorkerPage {
  std::atomic<Order> order{Order::kRun};
  std::atomic<bool> begun{false};         // some worker of this queue has
  QueueSettings next;                     // valid with kRetire
  std::atomic<uint32_t> queue_length{0};  // in force: shorter in an overload
  uint64_t program_number = 0;            // Heritage::program_number of the worker that began last
  uint32_t recoveries = 0;  // that were begun and not ended: one after the other has died in it
  alignas(64) LoopCounters loop;
  std::array<ThreadCounters, kMostThreads> program;  // each thread writes its own
};

// All threads' counters, for the readers.
ProgramCounters total(WorkerPage& page);

struct WorkerOptions {
  std::vector<int> cpus{0};  // a thread each; the loop runs on the first
  uint32_t batch = 64;
  bool busy_poll = false;
  QueueSettings settings;          // as in force when the worker begins
  uint32_t overload_length = 512;  // of the queue, instead of settings.length, in an overload
  uint32_t stream_wait = 40;       // milliseconds
  Verdict on_crash = Verdict::kAccept;
  std::chrono::milliseconds drain_time{1000};
};

struct Heritage {
  int queue_fd = -1;
  size_t send_buffer = 0;  // SO_SNDBUF of queue_fd: the longest reply
  int running_fd = -1;     // eventfd: +1 when the worker has begun
  int start_fd = -1;       // read end of a pipe: a byte, 'n' (new), or 'r' (the predecessor
                           // died: release what it left), says when to begin
  const Program* program = nullptr;
  uint64_t program_number = 0;  // another one for each program
  WorkerPage* page = nullptr;
  std::vector<int> captures;      // descriptors, in the order of Needs::captures
  std::span<RuleCounters> rules;  // those of all rules, once for each thread
  std::span<std::byte> streams;   // the queue's StreamTable; none where no rule edits streams
  std::span<std::byte> slots;     // what was received and not answered lies there (inbox.h)
  std::span<std::byte> held;      // and there (held_packets.h); none where the program holds none
  WorkerOptions options;
  std::vector<std::vector<std::byte>> early;  // datagrams that came while the queue was bound
};

}  // namespace fettle
