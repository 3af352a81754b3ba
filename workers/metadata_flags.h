// What the packets of a capture come with beside their bytes, since a capture has none of it: flags
// of the commands that run rules over one.
#pragma once

#include <cstdint>
#include <string>

#include "core/packet.h"

namespace CLI {
class App;
}

namespace fettle {

struct MetadataFlags {
  std::string hook, in, out;
  uint32_t mark = 0;

  Metadata metadata() const;
};

// --hook, --in, --out and --mark. The flags have to live as long as the command.
void add_metadata_flags(CLI::App& command, MetadataFlags* flags);

}  // namespace fettle
