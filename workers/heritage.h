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
#include "workers/sandbox.h"

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
  uint64_t stream_untracked = 0;  // that went unedited, without a place for their connection
  uint64_t recovered = 0;         // left by a worker that died, and answered by its successor
  uint64_t given_up = 0;          // that it had in hand when it died: WorkerOptions::on_crash
  // Written by all threads, by atomic additions.
  uint64_t captured = 0;
  uint64_t not_captured = 0;  // the buffer was full, or the file took no more
};

inline constexpr uint32_t kMostThreads = 16;  // of one worker

struct alignas(64) ThreadCounters : ProgramCounters {};

inline constexpr uint64_t kPageMagic = 0x0065'6c74'7465'66ff;
// Another one for every change of what follows the head, in any part that is handed on.
inline constexpr uint32_t kPageLayout = 5;

// What a supervisor of another version may rely on, too. Never changes.
struct PageHead {
  uint64_t magic = kPageMagic;
  uint32_t layout = kPageLayout;
  std::atomic<Order> order{Order::kRun};
  // The process that the queue is in the hands of: who finds another one here than itself has
  // handed it over, and leaves it alone.
  std::atomic<int32_t> supervisor{0};
  std::atomic<int32_t> worker{0};     // the one that runs; written by its supervisor
  std::atomic<uint32_t> begun{0};     // 1: some worker of this queue has
  std::atomic<uint32_t> finished{0};  // 1: the one that was ordered to end did, and left nothing
};

struct WorkerPage : PageHead {
  QueueSettings settings;                 // in force, as the supervisor knows them
  QueueSettings next;                     // valid with kRetire
  std::atomic<uint32_t> queue_length{0};  // in force: shorter in an overload
  uint64_t program_number = 0;            // Heritage::program_number of the worker that began last
  uint32_t shadow = 0;      // 1: what is counted and kept is a shadow's (WorkerOptions::shadow)
  uint32_t recoveries = 0;  // begun and not ended: one worker after the other has died in it
  // Written by the supervisor, for its successor.
  uint32_t restarts = 0;
  uint64_t full_looks = 0;
  uint64_t quarantined = 0;
  uint64_t fingerprint = 0;          // of the program whose rules are counted
  std::atomic<int32_t> prepared{0};  // process id of the worker that stood by last
  std::atomic<int32_t> running{0};   // and of the one that began last
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
  bool shadow = false;  // every packet is accepted as it came
  std::chrono::milliseconds drain_time{1000};
};

struct Heritage {
  int queue_fd = -1;
  size_t send_buffer = 0;  // SO_SNDBUF of queue_fd: the longest reply
  int running_fd = -1;     // eventfd: +1 when the worker stands by, and when it has begun
  int status_fd = -1;      // see open_queue_status(): of the socket's network namespace
  int start_fd = -1;       // read end of a pipe: a byte says when to begin, and how. 'n': the
                           // predecessor put these settings in force; 'a': it may not have; 'r': it
                           // died, and this one goes on where it was
  const Program* program = nullptr;
  uint64_t program_number = 0;  // another one for each program
  WorkerPage* page = nullptr;
  std::vector<int> captures;      // descriptors, in the order of Needs::captures
  std::span<RuleCounters> rules;  // those of all rules, once for each thread
  std::span<std::byte> streams;   // the queue's StreamTable; none where no rule edits streams
  std::span<std::byte> slots;     // what was received and not answered lies there (inbox.h)
  std::span<std::byte> held;      // and there (held_packets.h); none where the program holds none
  std::vector<int> memory;        // descriptors of all of these, for who adopts an orphan
  WorkerOptions options;
  const Sandbox* sandbox = nullptr;
  std::vector<std::vector<std::byte>> early;  // datagrams that came while the queue was bound
};

}  // namespace fettle
