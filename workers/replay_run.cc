// A capture goes through in chunks of some hundred packets, each through these stages: it is read
// and framed; its packets are parsed and dealt to lanes; each lane in turn runs the rules over
// those that are its own; it is written. Where there are several threads, these stages are the
// filters of a TBB pipeline. Every stage but the dealing takes one chunk at a time, in the order of
// the input; so while one chunk is in lane 3, the next can be in lane 2, and another be read. Hence
// a lane needs no lock, output and log lines leave in order, and memory is bounded by the chunks
// that are under way.
#include "workers/replay_run.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_pipeline.h>
#include <oneapi/tbb/task_arena.h>

#include "workers/replay_lanes.h"
#include "workers/standard_streams.h"
#include "workers/thread_order.h"

namespace fettle {
namespace {

using Clock = std::chrono::steady_clock;

// The heaviest lane sets the pace, and flows are not of one size: several lanes a thread.
constexpr size_t kLanesPerThread = 4;
constexpr size_t kMostLanes = 64;
constexpr size_t kChunksPerThread = 3;
// One thread deals itself so many records at a time.
constexpr size_t kPart = 64;

class Replay {
 public:
  Replay(ReplayInput input, Progress& progress, ReplaySummary& summary)
      : input_(std::move(input)),
        is_file_(input_.reader.size().has_value()),
        progress_(progress),
        summary_(summary) {
    // Impairments go by what came before, in the whole of the capture.
    if (input_.program.needs().impairs) input_.threads = 1;
    const size_t lanes =
        input_.threads == 1 ? 1 : std::min(input_.threads * kLanesPerThread, kMostLanes);
    for (size_t i = 0; i < lanes; ++i) {
      lanes_.push_back(std::make_unique<ReplayLane>(input_.program, input_.metadata, i));
    }
  }
  ~Replay() {
    if (failed_fd_ >= 0) close(failed_fd_);
  }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  Result<void> run() {
    const auto begin = Clock::now();
    if (input_.threads == 1) {
      run_alone();
    } else {
      run_in_parallel();
    }
    if (written_) written_ = input_.writer.close();
    summary_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    add_up();
    if (!written_) return written_;
    if (!read_) return read_;
    if (const auto& damage = input_.reader.damage()) return std::unexpected(*damage);
    return {};
  }

 private:
  // False at the end of the input.
  bool read(ReplayChunk& chunk) {
    if (failed_) return false;
    read_ = input_.reader.read(&chunk.piece);
    if (input_.program.needs().draws) number(chunk);
    return read_ && !chunk.piece.records.empty();
  }

  void number(ReplayChunk& chunk) {
    chunk.before = packets_read_;
    packets_read_ += static_cast<uint32_t>(std::ranges::count_if(
        chunk.piece.records, [](const Record& record) { return record.frame.data() != nullptr; }));
  }

  void deal(ReplayChunk& chunk) const {
    chunk.deal(input_.program, input_.metadata, lanes_.size());
  }

  void finish(ReplayChunk& chunk) {
    if (!written_) return;
    print_log(chunk);
    written_ = write_captures(chunk);
    if (!written_) return give_up();
    summary_.packets += chunk.packets;
    summary_.not_ip += chunk.not_ip;
    written_ = write(chunk);
    // What a pipe has brought goes on before the wait for more.
    if (written_ && !is_file_) written_ = input_.writer.flush();
    if (!written_) give_up();
    progress_.show(chunk.piece.end, summary_.packets);
  }

  void print_log(ReplayChunk& chunk) const {
    chunk.sort_log();
    for (const auto& [number, rule, text] : chunk.log) {
      print_error(fmt::format("packet {}: rule \"{}\": {}\n", summary_.packets + number,
                              input_.program.rule_names()[rule], text));
    }
  }

  // After print_log(), which brings them into their order.
  Result<void> write_captures(const ReplayChunk& chunk) {
    if (chunk.captures.empty()) return {};
    std::vector<std::vector<std::byte>> files(input_.captures.fds().size());
    for (const ReplayChunk::Capture& capture : chunk.captures) {
      files[capture.file].insert(files[capture.file].end(), capture.record.begin(),
                                 capture.record.end());
    }
    Result<void> done;
    for (size_t i = 0; i < files.size() && done; ++i) {
      done = input_.captures.append(static_cast<uint32_t>(i), files[i]);
    }
    return done;
  }

  // Kept records that lie one behind the other are written as one piece.
  Result<void> write(const ReplayChunk& chunk) {
    std::span<const std::byte> kept;
    for (const Record& record : chunk.piece.records) {
      if (record.raw.data() == kept.data() + kept.size()) {
        kept = {kept.data(), kept.size() + record.raw.size()};
        continue;
      }
      if (record.raw.empty()) continue;
      if (auto done = input_.writer.append(kept); !done) return done;
      kept = record.raw;
    }
    return input_.writer.append(kept);
  }

  // Nothing can be written: reading ends, even where it waits for a pipe.
  void give_up() {
    failed_ = true;
    if (failed_fd_ >= 0) eventfd_write(failed_fd_, 1);
  }

  void run_alone() {
    ReplayChunk chunk;
    // Segments of a stream wait for each other as long as a chunk is in hand.
    const size_t part = input_.program.needs().streams ? SIZE_MAX : kPart;
    while (read(chunk)) {
      chunk.begin(1);
      while (chunk.deal_part(input_.program, input_.metadata, part)) lanes_[0]->run(chunk);
      finish(chunk);
    }
  }

  void run_in_parallel() {
    if (!is_file_) {
      failed_fd_ = eventfd(0, EFD_CLOEXEC);
      if (failed_fd_ < 0) {
        read_ =
            fail(ErrorCode::kOs, fmt::format("cannot make an eventfd: {}", std::strerror(errno)));
        return;
      }
      input_.reader.end_on(failed_fd_);
    }
    chunks_ = std::vector<ReplayChunk>(input_.threads * kChunksPerThread);
    const tbb::global_control control(tbb::global_control::max_allowed_parallelism, input_.threads);
    tbb::task_arena arena(static_cast<int>(input_.threads));
    for (void* stage : stages()) hand_over(stage);
    arena.execute([this] { tbb::parallel_pipeline(chunks_.size(), pipeline()); });
    for (void* stage : stages()) take_over(stage);
  }

  // What belongs to one stage.
  std::vector<void*> stages() {
    std::vector<void*> out{&read_, &written_};
    for (const auto& lane : lanes_) out.push_back(lane.get());
    return out;
  }

  tbb::filter<void, void> pipeline() {
    constexpr auto kInOrder = tbb::filter_mode::serial_in_order;
    using Chunk = ReplayChunk*;
    auto stages =
        tbb::make_filter<void, Chunk>(kInOrder, [this](auto& control) { return next(control); }) &
        tbb::make_filter<Chunk, Chunk>(tbb::filter_mode::parallel, [this](Chunk chunk) {
          const Turn turn(chunk);
          deal(*chunk);
          return chunk;
        });
    for (const auto& lane : lanes_) {
      stages &= tbb::make_filter<Chunk, Chunk>(kInOrder, [lane = lane.get()](Chunk chunk) {
        const Turn turn(chunk), mine(lane);
        lane->run(*chunk);
        return chunk;
      });
    }
    return stages & tbb::make_filter<Chunk, void>(kInOrder, [this](Chunk chunk) {
             const Turn turn(chunk), mine(&written_);
             finish(*chunk);
           });
  }

  ReplayChunk* next(tbb::flow_control& control) {
    const Turn mine(&read_);
    // Chunks leave in order: when the pipeline admits one more, the oldest is free again.
    ReplayChunk* chunk = &chunks_[chunks_read_++ % chunks_.size()];
    const Turn turn(chunk);
    if (!read(*chunk)) control.stop();
    return chunk;
  }

  void add_up() {
    summary_.rules.resize(input_.program.rule_names().size());
    for (const auto& lane : lanes_) {
      const ProgramCounters& more = lane->counters();
      summary_.counters.malformed += more.malformed;
      summary_.counters.changed += more.changed;
      summary_.counters.dropped += more.dropped;
      for (size_t i = 0; i < summary_.rules.size(); ++i) {
        summary_.rules[i].hits += lane->rules()[i].hits;
        summary_.rules[i].misses += lane->rules()[i].misses;
      }
    }
  }

  ReplayInput input_;
  const bool is_file_;
  Progress& progress_;
  ReplaySummary& summary_;  // packets, not_ip: the writing stage's
  std::vector<std::unique_ptr<ReplayLane>> lanes_;
  std::vector<ReplayChunk> chunks_;
  size_t chunks_read_ = 0;
  uint32_t packets_read_ = 0;  // modulo 2^32
  Result<void> read_;          // the reading stage's
  Result<void> written_;       // the writing stage's
  std::atomic<bool> failed_ = false;
  int failed_fd_ = -1;
};

}  // namespace

Result<void> run_replay(ReplayInput input, Progress& progress, ReplaySummary* summary) {
  return Replay(std::move(input), progress, *summary).run();
}

}  // namespace fettle
