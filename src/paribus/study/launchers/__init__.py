"""Where trials run other than in worker processes of this machine: a Ray cluster, or Slurm through submitit.

Every launcher keeps the promises of `paribus.study.launch.Launcher`; `launch.make_launcher` gives the one asked for.
"""
