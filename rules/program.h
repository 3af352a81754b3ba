// The compiled rule set: immutable, shared by nobody who writes, and the same in live queues,
// replay and tests. apply() is the packet path: no allocation, no lock, no system call, no
// exception.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/packet.h"
#include "core/stream.h"
#include "rules/impairment.h"
#include "rules/rule.h"
#include "rules/trace.h"

namespace fettle {

// How deep into packets the rules look, and so how much the kernel has to copy.
struct Needs {
  bool streams = false;          // some rule edits TCP streams: Program::edit_stream()
  bool packets = false;          // false: no rule reads a byte; metadata mode does
  bool changes = false;          // some step writes: packets must come whole
  bool resizes = false;          // some step makes packets longer or shorter (Packet::capacity)
  bool whole = false;            // reads at places that no short copy bounds (IPv6 chains, payload)
  uint32_t depth = 0;            // bytes from the IP header that suffice where !whole && packets
  bool interfaces = false;       // some rule asks in or out: names have to be found
  std::vector<uint16_t> queues;  // targets of {queue = N} steps
  bool draws = false;            // Metadata::draw has to be filled
  bool impairs = false;          // ProgramState::impairments has to be filled
  bool holds = false;            // packets may be told to wait for their verdicts
  bool drops_orphans = false;    // what a dead worker leaves must not pass unseen
  bool must_change = false;      // some rule's packets may not pass without it, whatever happens
  uint64_t must_change_streams = 0;   // as Outcome::stream_rules
  std::optional<Verdict> overload;    // of packets that find the queue full, where the rules say it
  uint32_t clocks = 0;                // of ProgramState::impairments
  std::vector<std::string> captures;  // files of capture steps
};

// One block of counters per rule, one for the set; single writer, other processes may read.
struct RuleCounters {
  uint64_t hits = 0;    // packets that the rule matched
  uint64_t misses = 0;  // steps that could not be applied
};
struct ProgramCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;  // IP lengths
  uint64_t malformed = 0;
  uint64_t changed = 0;
  uint64_t accepted = 0;  // by verdict
  uint64_t dropped = 0;
  uint64_t repeated = 0;
  uint64_t requeued = 0;
};

// The verdict that a packet leaves with. apply() does so, but for Outcome::stream.
void count_verdict(ProgramCounters& counters, Verdict verdict) noexcept;

// Where "log" steps go. Called on the packet path: must not block or allocate.
class LogSink {
 public:
  virtual void log(uint32_t rule, const Packet& packet, const Metadata& metadata) noexcept = 0;

 protected:
  ~LogSink() = default;
};

// Where capture steps go; `file` is a place in Needs::captures. As above.
class CaptureSink {
 public:
  virtual void capture(uint32_t file, const Packet& packet) noexcept = 0;

 protected:
  ~CaptureSink() = default;
};

// What one caller of apply() owns. rules.size() == Program::rules().size().
struct ProgramState {
  ProgramCounters* counters = nullptr;
  std::span<RuleCounters> rules;
  LogSink* log = nullptr;  // may be null
  ImpairmentState impairments{};
  CaptureSink* captures = nullptr;  // may be null
};

// Too big for registers: packed into one, its members would be stored one by one and at once loaded
// together, for which a processor has to wait.
struct alignas(32) Outcome {
  Verdict verdict = Verdict::kAccept;
  uint16_t queue = 0;
  bool changed = false;  // bytes differ: the payload must go back
  // TCP, of a set that edits streams: edit_stream() is still to be called, and the verdict to be
  // counted, once it is known.
  bool stream = false;
  bool mark_changed = false;  // metadata.mark differs from what came
  uint64_t stream_rules = 0;  // that matched, a bit each: what edit_stream() goes by
  bool lost = false;          // dropped by a step that is no verdict
  uint64_t delay = 0;         // nanoseconds that a packet which is not dropped is to wait
};

class Program {
 public:
  Program();
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;
  ~Program();

  // Runs the rules over one packet (design section 4), changing it and metadata.mark in place, and
  // finishing its checksums. With !needs().packets an empty Packet will do.
  Outcome apply(Packet& packet, Metadata& metadata, ProgramState& state) const noexcept {
    return apply(packet, metadata, state, look(packet, metadata));
  }
  // The two halves of it, for who has several packets in hand: look() at each of them, which asks
  // the processor for the memory that apply() will read, then apply() to each in turn, with what
  // look() has said. Neither packet nor metadata may change in between.
  uint32_t look(const Packet& packet, const Metadata& metadata) const noexcept;
  // Whether look() has said that no rule matches.
  bool leaves_alone(uint32_t looked) const noexcept;
  Outcome apply(Packet& packet, Metadata& metadata, ProgramState& state,
                uint32_t looked) const noexcept;
  // The same as apply(), each rule and step told as it goes. On the packet path for a sink alone
  // that keeps to its rules.
  Outcome trace(Packet& packet, Metadata& metadata, ProgramState& state,
                TraceSink& sink) const noexcept {
    return trace(packet, metadata, state, sink, look(packet, metadata));
  }
  Outcome trace(Packet& packet, Metadata& metadata, ProgramState& state, TraceSink& sink,
                uint32_t looked) const noexcept;

  // For a packet of which apply() says Outcome::stream, which it has not finished: shifts and edits
  // it as its stream's edits have it (core/stream.h). Both directions of a connection are to come
  // here. A connection is entered by the first packet that a rule with a stream's step matches. In
  // place: packet.changed says whether; pieces are output's.
  StreamAction edit_stream(StreamTable& table, Packet& packet, const Outcome& outcome, uint32_t now,
                           StreamOutput& output) const noexcept;

  const Needs& needs() const;
  // Names for counters, in file order.
  const std::vector<std::string>& rule_names() const;
  // Places in rule_names() of the rules that edit streams, in the order of Outcome::stream_rules'
  // bits.
  const std::vector<uint32_t>& stream_rules() const;
  // What `fettle check` prints: rules, fields they read, tables, what is copied.
  std::string describe() const;

  struct Compiled;  // compile.cc fills it
  explicit Program(std::unique_ptr<const Compiled> compiled);

 private:
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace fettle
