// One packet of every kind that fettle tells apart, as data.
#pragma once

#include <string>
#include <vector>

#include "tests/packet_builder.h"

namespace fettle::testing {

struct PacketCase {
  std::string name;
  PacketBuilder builder;
};

// All have a transport header and a good checksum; payload bytes as given.
std::vector<PacketCase> packet_cases(const ByteVector& payload);

}  // namespace fettle::testing
