// What a rule set does to a packet, step by step, for those who debug it. The traced walk and that
// of the packet path are one function, compiled twice (program.cc), so that what is not traced
// pays nothing.
#pragma once

#include <cstdint>

#include "core/packet.h"

namespace fettle {

// Told in the order in which things happen. Must not change the packet.
class TraceSink {
 public:
  // The packet matched; the steps that follow are this rule's.
  virtual void rule(uint32_t rule) noexcept = 0;
  // The next step of the rule, in the order of the file, is done or has missed; the packet and its
  // mark are as it left them.
  virtual void step(const Packet& packet, const Metadata& metadata, bool missed) noexcept = 0;

 protected:
  ~TraceSink() = default;
};

}  // namespace fettle
