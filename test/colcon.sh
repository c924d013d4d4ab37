#!/usr/bin/env bash
# colcon build and colcon test of this repository, all output in FOLDER: bash test/colcon.sh FOLDER
# Then the installed share folder must hold what `ros2 launch` and the node look for there.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$repository"

colcon --log-base "$out/log" build --paths . --build-base "$out/build" --install-base "$out/install"
colcon --log-base "$out/log" test --paths . --build-base "$out/build" --install-base "$out/install" \
    --event-handlers console_cohesion+ --return-code-on-test-failure
colcon --log-base "$out/log" test-result --test-result-base "$out/build" --verbose

share=$out/install/segpoint_ros/share/segpoint_ros
for file in package.xml launch/{segpoint,realsense,lidar,simulation,two}.launch.py config/segpoint.{yaml,rviz} \
    config/presets/{realsense,lidar,simulation}.yaml config/sros2/segpoint.policy.xml config/fastdds.xml \
    models/segpoint-tabletop/config.json models/segpoint-tabletop/model.safetensors; do
    test -s "$share/$file" || { echo "not installed: $share/$file" >&2; exit 1; }
done
for program in segpoint segpoint-node segpoint-ask; do
    test -x "$out/install/segpoint_ros/lib/segpoint_ros/$program" || { echo "no program $program" >&2; exit 1; }
done
if command -v ros2 > /dev/null && ros2 launch --help > /dev/null 2>&1; then
    set +u  # colcon's script reads variables that may not be set
    source "$out/install/setup.bash"
    for file in "$share"/launch/*.launch.py; do
        ros2 launch segpoint_ros "$(basename "$file")" --show-args > /dev/null
    done
fi
echo "colcon: built, tested, installed in $out/install"
