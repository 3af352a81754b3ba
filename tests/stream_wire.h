// What the simulator's ends send: streams, the edits of them, and segments with time stamps and
// SACK blocks, built and summed by no code of fettle's.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/stream.h"

namespace fettle::testing {

using Bytes = std::vector<std::byte>;

struct Cut {  // an edit, by its place in the original stream
  uint32_t length;
  std::string with;
};

// Replaces, deletes and inserts where it finds its patterns, wherever segments are cut. Says what
// it edited in `log`.
class PatternEditor final : public StreamEditor {
 public:
  Found edit(const StreamText& text, std::span<StreamEdit> edits) override;
  std::array<std::map<uint32_t, Cut>, 2> log;  // by direction and place
};
std::map<uint32_t, Cut> edits_of(const std::string& stream);  // of a whole stream at once
std::string edited(const std::string& stream, const std::map<uint32_t, Cut>& log);

struct Wire {
  uint32_t seq = 0, ack = 0, window = 0, stamp = 0;
  uint16_t urgent = 0;
  uint8_t flags = 0;
  std::string data = {};
  std::vector<std::pair<uint32_t, uint32_t>> sack = {};
};

inline uint32_t pick(std::mt19937_64& random, uint32_t below) {
  return static_cast<uint32_t>(random() % below);
}
std::string random_stream(std::mt19937_64& random);

// What connection tracking does to a stream's numbers behind the box: nf_ct_seq_adjust() and
// nf_ct_sack_block_adjust() of net/netfilter/nf_conntrack_seqadj.c, by their own words.
struct KernelShift {
  SequenceShift told;  // as conntrack's attributes have it

  uint32_t of_sequence(uint32_t seq) const;
  uint32_t of_answer(uint32_t ack) const;
};
// None, one number for the whole of the stream (as SYNPROXY has), or one from somewhere on.
KernelShift random_shift(std::mt19937_64& random, uint32_t start);
// An edge of each: of all that a packet says it has received.
void shift_answers(Wire& wire, const KernelShift& shift);
void shift_answers_back(std::span<std::byte> packet, bool ipv6, const KernelShift& shift);

// A packet of direction 0 or 1 of the connection that `number` stands for.
Bytes build(const Wire& wire, bool ipv6, uint32_t number, uint32_t direction);
// Of bytes as big-endian words, unfolded; folded to 16 bits; of a whole TCP packet, 0xffff folded
// where its checksum is right.
uint32_t plain_words(std::span<const std::byte> bytes);
uint16_t folded(uint32_t sum);
uint32_t tcp_sum(std::span<const std::byte> packet, bool ipv6);

}  // namespace fettle::testing
