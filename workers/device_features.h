// What a network device offloads, as ethtool(8) -k and -i show it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace fettle {

struct DeviceFeatures {
  std::string driver;
  std::string bus;  // where hardware is, or a virtual machine's; "" for what is software alone
  // Nothing: the driver does not say.
  std::optional<bool> gro, lro, hardware_offload;
  std::optional<uint32_t> ring, ring_most;  // descriptors of the receive ring, now and at most (-g)
};

DeviceFeatures read_device_features(const std::string& device);

}  // namespace fettle
