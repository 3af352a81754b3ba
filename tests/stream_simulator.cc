#include "tests/stream_simulator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <optional>

#include "core/bytes.h"

namespace fettle::testing {
namespace {

class Simulation {
 public:
  Simulation(StreamTable& table, uint64_t seed, const SimulationOptions& options)
      : table_(table), options_(options), random_(seed), ipv6_(pick(random_, 4) == 0) {
    for (uint32_t d : {0u, 1u}) {
      ends_[d].stream = random_stream(random_);
      const auto any = static_cast<uint32_t>(random_());
      ends_[d].start = pick(random_, 2) == 0 ? any : 0u - pick(random_, 1200);
      ends_[d].window = ends_[d].offered = 20000;
    }
    // The ports' last connection had other numbers: with the same, this one would be that one to
    // anybody who looks on.
    if (0u - ends_[0].start < 1201) ends_[0].start = 0u - static_cast<uint32_t>(seed % 1201);
    ends_[0].peer_start = ends_[1].start;
    ends_[1].peer_start = ends_[0].start;
    if (options.shifts)
      for (const uint32_t d : {0u, 1u}) shift_[d] = random_shift(random_, ends_[d].start);
    mtu_ = pick(random_, 2) == 0 ? 1500 : 180 + pick(random_, 200);
    area_.resize(70000);
  }
  SimulationResult run();

 private:
  struct Held {
    Bytes bytes;
    uint32_t deadline;
    bool timed;
  };
  uint32_t chance(uint32_t of) { return options_.calm ? 1 : pick(random_, of); }
  bool fault(std::string text) {
    if (result_.ok) result_.fault = std::move(text);
    result_.ok = false;
    return false;
  }
  void handshake();
  void act(uint32_t d);
  Wire header(uint32_t d);
  void send(uint32_t d, Wire wire);
  void send_range(uint32_t d, uint32_t from, uint32_t to);
  void repeat(uint32_t d);
  void box(uint32_t d, Bytes bytes, bool again);
  void release(uint32_t d);
  void forward(uint32_t d, std::span<const std::byte> bytes);
  void receive(uint32_t d, const Bytes& bytes);
  void take_ack(uint32_t d, const Wire& wire);
  void take_data(uint32_t d, const Wire& wire);
  std::optional<Wire> read(const Bytes& bytes);
  void move(uint32_t d);

  StreamTable& table_;
  const SimulationOptions& options_;
  std::mt19937_64 random_;
  bool ipv6_;
  uint32_t mtu_ = 1500;
  uint32_t now_ = 1;
  std::array<End, 2> ends_;
  std::array<KernelShift, 2> shift_;  // of the stream of each end, behind the box
  PatternEditor editor_;
  std::array<std::string, 2> wanted_;
  std::array<size_t, 2> logged_{};
  std::array<std::deque<Bytes>, 2> before_, behind_;  // the box, by direction
  std::array<std::deque<Held>, 2> held_;
  Bytes area_;
  SimulationResult result_;
  uint64_t timeouts_ = 0;
};

Wire Simulation::header(uint32_t d) {
  End& end = ends_[d];
  Wire wire;
  wire.flags = 0x10;
  wire.stamp = now_;
  wire.ack = end.peer_start + end.received_offset();
  wire.window = end.offered;
  if (pick(random_, 3) != 0) {  // SACK, and sometimes D-SACK first
    if (pick(random_, 10) == 0 && end.received.size() > 3)
      wire.sack.emplace_back(wire.ack - 3, wire.ack - 1);
    for (auto it = end.early.begin(); it != end.early.end() && wire.sack.size() < 3;) {
      const uint32_t from = it->first;
      uint32_t to = from;
      while (it != end.early.end() && it->first == to) ++it, ++to;
      wire.sack.emplace_back(end.peer_start + from, end.peer_start + to);
    }
  }
  return wire;
}

void Simulation::send(uint32_t d, Wire wire) {
  ++result_.packets;
  shift_answers(wire, shift_[!d]);
  Bytes bytes = build(wire, ipv6_, options_.number, d);
  if (options_.tap) options_.tap(false, bytes);
  before_[d].push_back(std::move(bytes));
}

void Simulation::send_range(uint32_t d, uint32_t from, uint32_t to) {
  End& end = ends_[d];
  const auto size = static_cast<uint32_t>(end.stream.size());
  const uint32_t room = mtu_ - (ipv6_ ? 40 : 20) - 20 - 40;
  to = std::min(to, from + room);
  Wire wire = header(d);
  wire.seq = end.start + from;
  wire.data = end.stream.substr(std::min(from, size), std::min(to, size) - std::min(from, size));
  if (to > size) wire.flags |= 1;
  if (pick(random_, 3) == 0) wire.flags |= 8;
  if (pick(random_, 20) == 0 && !wire.data.empty()) {
    wire.flags |= 32;
    wire.urgent = static_cast<uint16_t>(1 + pick(random_, static_cast<uint32_t>(wire.data.size())));
  }
  send(d, wire);
}

// From the first byte not known to be there, up to the next one that is.
void Simulation::repeat(uint32_t d) {
  End& end = ends_[d];
  uint32_t from = end.una;
  uint32_t limit = end.next;
  for (const auto& [left, right] : end.sacked) {
    if (left <= from) {
      from = std::max(from, right);
    } else {
      limit = std::min(limit, left);
      break;
    }
  }
  if (from >= limit) return;
  if (pick(random_, 3) == 0) from += pick(random_, limit - from);
  send_range(d, from, from + 1 + pick(random_, limit - from));
}

void Simulation::act(uint32_t d) {
  End& end = ends_[d];
  const auto whole = static_cast<uint32_t>(end.stream.size()) + 1;
  const uint32_t allowed = std::min(whole, end.una + end.window);
  const uint32_t kind = pick(random_, 16);
  if (kind < 8 && end.next < allowed && end.next - end.una < 600) {
    const uint32_t to = std::min(allowed, end.next + 1 + pick(random_, pick(random_, 2) ? 9 : 200));
    const uint32_t from = end.next;
    const uint32_t room = mtu_ - (ipv6_ ? 40 : 20) - 60;
    end.next = std::min(to, from + room);
    send_range(d, from, end.next);
  } else if (kind < 12 && end.una < end.next) {
    repeat(d);
  } else if (kind == 12 && end.window == 0 && end.next < whole) {  // probe
    if (end.next == end.una) send_range(d, end.next, end.next + 1), ++end.next;
  } else if (kind == 13 && end.una == end.next && end.next > 0 && end.next < whole) {  // keep-alive
    Wire wire = header(d);
    wire.seq = end.start + end.next - 1;
    if (pick(random_, 2) == 0) wire.data = std::string(1, '\0');
    send(d, wire);
  } else if (kind == 14) {
    Wire wire = header(d);
    wire.seq = end.start + end.next;
    send(d, wire);
  } else if (kind == 15) {
    end.offered = pick(random_, 3) == 0 ? pick(random_, 3) : 200 + pick(random_, 20000);
  }
}

void Simulation::forward(uint32_t d, std::span<const std::byte> bytes) {
  if (bytes.size() > mtu_) fault("a packet of " + std::to_string(bytes.size()) + " bytes left");
  if (options_.tap) options_.tap(true, bytes);
  Bytes& behind = behind_[d].emplace_back(bytes.begin(), bytes.end());
  if (!shift_[!d].told.none()) shift_answers_back(behind, ipv6_, shift_[!d]);
}

void Simulation::release(uint32_t d) {
  std::deque<Held> held = std::move(held_[d]);
  held_[d].clear();
  for (Held& one : held) box(d, std::move(one.bytes), true);
}

void Simulation::box(uint32_t d, Bytes bytes, bool again) {
  const Bytes original = bytes;
  Packet packet = parse(bytes);
  StreamOutput output;
  output.area = area_;
  output.shift = shift_[!d].told;
  output.limits.packet = mtu_;
  output.limits.tail_wait = output.limits.tail_wait_more = options_.tail_wait;
  output.limits.part_wait = options_.part_wait;
  output.limits.pieces = options_.pieces;
  output.fresh = options_.hold && !again;
  const auto timeouts_so_far = [this] {
    const auto& elsewhere = options_.timeouts_elsewhere;
    return table_.counters().timeouts + (elsewhere ? elsewhere() : 0);
  };
  const uint64_t timeouts = timeouts_so_far();
  const StreamAction action = options_.process ? options_.process(packet, now_, editor_, output)
                                               : table_.process(packet, now_, editor_, output);
  timeouts_ += timeouts_so_far() - timeouts;
  std::vector<Bytes> pieces;  // for what is released goes through the same area
  for (uint32_t i = 0; i < output.piece_count; ++i)
    pieces.emplace_back(output.pieces[i].begin(), output.pieces[i].end());
  if (output.advanced && !again) release(d);
  switch (action) {
    case StreamAction::kPass:
    case StreamAction::kUntracked:
      return forward(d, bytes);
    case StreamAction::kReplace:
      for (const Bytes& piece : pieces) forward(d, piece);
      return;
    case StreamAction::kHold:
      if (original != bytes) fault("a held packet was changed");
      if (options_.hold && held_[d].size() < 8)
        held_[d].push_back({original, now_ + output.wait, output.reason == StreamReason::kTail});
      return;
    case StreamAction::kDrop:
    case StreamAction::kCannot:
      return;
  }
}

std::optional<Wire> Simulation::read(const Bytes& bytes) {
  const uint32_t ip = ipv6_ ? 40 : 20;
  const std::byte* t = bytes.data() + ip;
  const uint32_t size = ipv6_ ? load_be16(&bytes[4]) + 40u : load_be16(&bytes[2]);
  if (size != bytes.size()) return fault("wrong IP length"), std::nullopt;
  if (folded(tcp_sum(bytes, ipv6_)) != 0xffff) return fault("wrong TCP checksum"), std::nullopt;
  if (!ipv6_ && folded(plain_words({bytes.data(), 20})) != 0xffff)
    return fault("wrong IP checksum"), std::nullopt;
  Wire wire;
  wire.seq = load_be32(t + 4);
  wire.ack = load_be32(t + 8);
  wire.flags = load_u8(t + 13);
  wire.window = load_be16(t + 14);
  wire.stamp = load_be32(t + 24);
  if (load_be32(t + 28) != ~wire.stamp) return fault("time stamps changed"), std::nullopt;
  const uint32_t header = (load_u8(t + 12) >> 4) * 4u;
  for (uint32_t at = 32; at + 4 <= header && load_u8(t + at + 2) == 5; at = header) {
    for (uint32_t b = at + 4; b + 8 <= at + 2 + load_u8(t + at + 3); b += 8)
      wire.sack.emplace_back(load_be32(t + b), load_be32(t + b + 4));
  }
  const auto data = std::span(bytes).subspan(ip + header);
  for (const std::byte byte : data) wire.data += static_cast<char>(byte);
  return wire;
}

void Simulation::take_ack(uint32_t d, const Wire& wire) {
  End& end = ends_[d];
  const uint32_t offset = wire.ack - end.start;
  if (offset > end.stream.size() + 1) {
    if (offset < 0x80000000) fault("acknowledged more than the stream");
    return;
  }
  if (offset > end.next) {
    fault("acknowledged " + std::to_string(offset) + " of " + std::to_string(end.next) + " sent");
    return;
  }
  if (offset >= end.una) end.una = offset, end.window = wire.window;
  for (const auto& [left, right] : wire.sack) {
    const uint32_t from = left - end.start, to = right - end.start;
    if (from >= 0x80000000 || to <= end.una) continue;
    if (to > end.next || from >= to) {
      fault("SACK of what was not sent");
      return;
    }
    uint32_t& known = end.sacked[from];
    known = std::max(known, to);
  }
}

void Simulation::take_data(uint32_t d, const Wire& wire) {
  End& end = ends_[d];
  const auto& log = editor_.log[!d];
  if (wanted_[!d].empty() || logged_[!d] != log.size()) {
    wanted_[!d] = edited(ends_[!d].stream, log);
    logged_[!d] = log.size();
  }
  const std::string& wanted = wanted_[!d];
  const uint32_t from = wire.seq - end.peer_start;
  const uint32_t limit = end.received_offset() + std::max(end.offered, 0u);
  for (uint32_t i = 0; i < wire.data.size(); ++i) {
    const uint32_t at = from + i;
    if (at >= 0x80000000 || at < end.received.size() || end.peer_closed) continue;
    if (at >= wanted.size() || wanted[at] != wire.data[i]) {
      fault("byte " + std::to_string(at) + " of direction " + std::to_string(!d) + " is wrong");
      return;
    }
    if (at < limit) end.early[at] = wire.data[i];
  }
  if (wire.flags & 1) {
    const uint32_t fin = from + static_cast<uint32_t>(wire.data.size());
    if (fin != wanted.size()) fault("FIN at " + std::to_string(fin));
    if (fin <= limit) end.fin_at = fin;
  }
  while (!end.early.empty() && end.early.begin()->first == end.received.size()) {
    end.received += end.early.begin()->second;
    end.early.erase(end.early.begin());
  }
  if (end.fin_at == end.received.size()) end.peer_closed = true;
}

void Simulation::receive(uint32_t d, const Bytes& bytes) {
  const std::optional<Wire> wire = read(bytes);
  if (!wire) return;
  const uint32_t to = !d;
  take_ack(to, *wire);
  const uint32_t old = ends_[to].received_offset();
  take_data(to, *wire);
  const bool stale = wire->seq - ends_[to].peer_start != ends_[to].received_offset();
  if (stale || ends_[to].received_offset() != old) {
    if (pick(random_, 3) == 0 && old == ends_[to].received_offset() && wire->data.empty() == false)
      return;  // delayed acknowledgement
    Wire answer = header(to);
    answer.seq = ends_[to].start + ends_[to].next;
    send(to, answer);
  }
}

// Moves one packet on before or behind the box.
void Simulation::move(uint32_t d) {
  auto& queue = pick(random_, 2) == 0 ? before_[d] : behind_[d];
  const bool at_box = &queue == &before_[d];
  if (queue.empty()) return;
  const bool in_order = options_.calm || pick(random_, 4) != 0;
  const uint32_t which = in_order ? 0 : pick(random_, static_cast<uint32_t>(queue.size()));
  Bytes bytes = queue[which];
  if (chance(20) != 0) queue.erase(queue.begin() + which);  // else it comes twice
  if (chance(16) == 0) return;
  if (at_box) {
    box(d, std::move(bytes), false);
  } else {
    receive(d, bytes);
  }
}

void Simulation::handshake() {
  Wire syn;
  syn.flags = 2;
  syn.seq = ends_[0].start - 1;
  box(0, build(syn, ipv6_, options_.number, 0), false);
  Wire answer;
  answer.flags = 0x12;
  answer.seq = ends_[1].start - 1;
  answer.ack = ends_[0].start;
  shift_answers(answer, shift_[0]);
  if (pick(random_, 4) == 0) {  // simultaneous open
    answer.flags = 2;
    box(1, build(answer, ipv6_, options_.number, 1), false);
    answer.flags = 0x12;
    syn.flags = 0x12;
    syn.ack = ends_[1].start;
    shift_answers(syn, shift_[1]);
    box(0, build(syn, ipv6_, options_.number, 0), false);
  }
  box(1, build(answer, ipv6_, options_.number, 1), false);
  behind_[0].clear();
  behind_[1].clear();
}

SimulationResult Simulation::run() {
  handshake();
  while (result_.ok && !(ends_[0].done() && ends_[1].done())) {
    if (++result_.steps > 400000) {
      fault("no end in sight");
      break;
    }
    ++now_;
    const uint32_t d = pick(random_, 2);
    if (before_[d].size() + behind_[d].size() < 12) act(d);
    move(d);
    move(!d);
    for (uint32_t h : {0u, 1u}) {
      const bool due = std::any_of(held_[h].begin(), held_[h].end(), [&](const Held& one) {
        return one.timed && static_cast<int32_t>(now_ - one.deadline) >= 0;
      });
      if (due) release(h);
    }
  }
  for (const uint32_t d : {0u, 1u}) {
    if (!result_.ok) break;
    if (ends_[!d].received != edited(ends_[d].stream, editor_.log[d])) fault("streams differ");
    if (timeouts_ == 0 && edited(ends_[d].stream, edits_of(ends_[d].stream)) != ends_[!d].received)
      fault("a match was missed");
  }
  return result_;
}

}  // namespace

SimulationResult simulate(StreamTable& table, uint64_t seed, const SimulationOptions& options) {
  return Simulation(table, seed, options).run();
}

}  // namespace fettle::testing
