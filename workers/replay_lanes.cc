#include "workers/replay_lanes.h"

#include <algorithm>

#include "core/capture_resize.h"
#include "core/capture_time.h"
#include "core/describe.h"
#include "core/flow_hash.h"
#include "core/link_layer.h"
#include "core/raw_capture.h"
#include "core/resize.h"
#include "workers/replay_streams.h"

namespace fettle {
namespace {

// Rules' counters of two lanes lie on no common cache line.
constexpr size_t kApart = 64 / sizeof(RuleCounters);

}  // namespace

void ReplayChunk::deal(const Program& program, const Metadata& metadata, size_t lane_count) {
  begin(lane_count);
  deal_part(program, metadata, piece.records.size());
}

void ReplayChunk::begin(size_t lane_count) {
  dealt = packets = not_ip = 0;
  log.clear();
  captures.clear();
  resized.clear();
  lanes.resize(lane_count);
}

bool ReplayChunk::deal_part(const Program& program, const Metadata& metadata, size_t records) {
  items.clear();
  for (auto& lane : lanes) lane.clear();
  const size_t end = std::min(piece.records.size() - dealt, records) + dealt;
  if (dealt == end) return false;
  Metadata its_own = metadata;
  for (; dealt < end; ++dealt) {
    const Record& record = piece.records[dealt];
    if (record.frame.data() == nullptr) continue;
    ++packets;
    const auto network = network_layer(record.link_type, record.frame);
    if (!network) {
      ++not_ip;
      continue;
    }
    const Packet packet = parse(*network);
    const size_t lane = lanes.size() == 1 ? 0 : flow_hash(packet) % lanes.size();
    lanes[lane].push_back(static_cast<uint32_t>(items.size()));
    its_own.family = packet.family;
    its_own.draw = before + packets;
    const uint32_t looked = program.look(packet, its_own);
    items.push_back({.packet = packet,
                     .looked = looked,
                     .record = static_cast<uint32_t>(dealt),
                     .number = packets});
  }
  return true;
}

void ReplayChunk::sort_log() {
  std::ranges::stable_sort(log, {}, &LogLine::number);
  std::ranges::stable_sort(captures, {}, &Capture::number);
}

ReplayLane::ReplayLane(const Program& program, const Metadata& metadata, size_t index)
    : program_(program), metadata_(metadata), index_(index), clocks_(program.needs().clocks) {
  rules_.reserve(program.rule_names().size() + kApart);
  rules_.resize(program.rule_names().size());
  state_ = {.counters = &counters_,
            .rules = rules_,
            .log = this,
            .impairments = {.clocks = clocks_},
            .captures = this};
  if (program.needs().resizes) room_.resize(kLongestPacket);
  if (program.needs().streams) streams_ = std::make_unique<ReplayStreams>(program);
}
ReplayLane::~ReplayLane() = default;

// A packet in its capture has no room. Only those that a rule may match are worth a copy, and no
// TCP segments: their streams are edited elsewhere.
bool ReplayLane::give_room(const ReplayChunk::Item& item, const Record& record) {
  return !program_.leaves_alone(item.looked) && !item.packet.is(Protocol::kTcp) &&
         item.packet.size <= room_.size() && can_resize(record);
}

// `before` is the packet as it was in the record's frame.
void ReplayLane::take_back(const Packet& packet, std::span<std::byte> before, Record* record) {
  if (!packet.resized) {
    std::copy_n(packet.data, before.size(), before.data());
    return;
  }
  const auto at = static_cast<size_t>(before.data() - record->frame.data());
  chunk_->resized.push_back(resized(*record, at, before.size(), {packet.data, packet.size}));
  record->raw = chunk_->resized.back();
}

void ReplayLane::run(ReplayChunk& chunk) {
  chunk_ = &chunk;
  for (const uint32_t place : chunk.lanes[index_]) {
    ReplayChunk::Item& item = chunk.items[place];
    number_ = item.number;
    Metadata metadata = metadata_;
    metadata.family = item.packet.family;
    metadata.draw = chunk.before + number_;
    Record& record = chunk.piece.records[item.record];
    const std::span<std::byte> before(item.packet.data, item.packet.size);
    const bool roomy = !room_.empty() && give_room(item, record);
    if (roomy) {
      std::ranges::copy(before, room_.data());
      item.packet.data = room_.data();
      item.packet.capacity = static_cast<uint32_t>(room_.size());
    }
    state_.impairments.now = time_ = record.time_ns;
    const Outcome outcome = program_.apply(item.packet, metadata, state_, item.looked);
    if (outcome.verdict == Verdict::kDrop) {
      record.raw = {};
      continue;
    }
    if (outcome.stream) {
      streams_->take(chunk, place, outcome, counters_);
    } else if (roomy && outcome.changed) {
      take_back(item.packet, before, &record);
    }
    if (outcome.delay > 0) move_time(&record, outcome.delay);
  }
  if (streams_) streams_->finish(chunk, counters_);
}

void ReplayLane::capture(uint32_t file, const Packet& packet) noexcept {
  std::vector<std::byte> record(raw_capture::record_size(packet));
  raw_capture::put_record(record.data(), time_, packet);
  chunk_->captures.push_back({.number = number_, .file = file, .record = std::move(record)});
}

void ReplayLane::log(uint32_t rule, const Packet& packet, const Metadata&) noexcept {
  chunk_->log.push_back({.number = number_, .rule = rule, .text = one_line(packet)});
}

}  // namespace fettle
