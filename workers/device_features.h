// What a network device offloads, as ethtool(8) -k and -i show it.
#pragma once

#include <optional>
#include <string>

namespace fettle {

struct DeviceFeatures {
  std::string driver;
  std::string bus;  // where hardware is, or a virtual machine's; "" for what is software alone
  std::optional<bool> gro, lro, hardware_offload;  // nothing: the driver does not say
};

DeviceFeatures read_device_features(const std::string& device);

}  // namespace fettle
