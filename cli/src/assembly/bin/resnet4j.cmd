@rem For tools that put the folder bin on the path.
@call "%~dp0..\resnet4j.cmd" %*
