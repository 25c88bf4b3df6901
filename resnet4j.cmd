@echo off
rem Starts the resnet4j command with a JDK 25, as the shell script resnet4j does. In a checkout it
rem first builds the command; in the distribution the jars are in lib\.
setlocal DisableDelayedExpansion
set "here=%~dp0"
set "required=25"

set "jdk="
if defined JAVA_HOME call :try "%JAVA_HOME%"
for %%j in (java.exe) do if not "%%~$PATH:j"=="" call :try "%%~dp$PATH:j.."
for %%v in ("Eclipse Adoptium" Java Microsoft Zulu "Amazon Corretto" BellSoft) do (
  for /d %%d in ("%ProgramFiles%\%%~v\*") do call :try "%%~d"
)
for /d %%d in ("%USERPROFILE%\.jdks\*") do call :try "%%~d"
if not defined jdk (
  echo resnet4j: needs Java %required%: install a JDK %required% ^(for example Eclipse Temurin^) or set JAVA_HOME to one>&2
  exit /b 1
)

if exist "%here%lib\commands.tsv" (
  set "lib=%here%lib"
  goto :built
)
set "lib=%here%cli\target\distribution\resnet4j\lib"
rem Changed sources are not noticed here: build again with mvn -DskipTests -pl cli -am package.
if exist "%here%cli\target\.built" goto :built
echo resnet4j: first build; this takes about 2 minutes, longer if Maven has to download libraries>&2
if not exist "%here%cli\target" mkdir "%here%cli\target"
pushd "%here%"
call mvn -B -Dmaven.test.skip=true -DskipTests -pl cli -am package >"%here%cli\target\build.log" 2>&1
set "failed=%errorlevel%"
popd
if not "%failed%"=="0" (
  echo resnet4j: the build failed, or there is no Maven ^(mvn, 3.8 or newer^); the log is in %here%cli\target\build.log>&2
  exit /b 1
)
echo built>"%here%cli\target\.built"
:built

rem From the table of commands: the workload of this command, which selects the options of the JVM.
set "workload=quick"
for /f "usebackq tokens=1,2" %%a in ("%lib%\commands.tsv") do if "%%a"=="%~1" set "workload=%%b"

rem A few images take a second; many take long, and so does a pattern.
set "kernels="
set /a inputs=0
:argument
if "%~1"=="" goto :counted
if /i "%~1"=="--kernels" set "kernels=%~2"
if exist "%~1\" set /a inputs+=15
set /a inputs+=1
shift
goto :argument
:counted
if "%workload%"=="prediction" if %inputs% gtr 17 set "workload=long"

rem -Xlog:disable keeps messages of the JVM out of the output.
set "flags=-Xlog:disable -Djava.awt.headless=true --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow"
set "cached="
if "%workload%"=="server" set "flags=%flags% -XX:MaxRAMPercentage=60"
if /i "%kernels%"=="vector" (
  set "flags=%flags% --add-modules=jdk.incubator.vector -XX:+UseG1GC -XX:CompileThresholdScaling=0.1"
  goto :flags
)
if "%workload%"=="long" set "flags=%flags% -XX:+UseG1GC"
if "%workload%"=="server" set "flags=%flags% -XX:+UseG1GC"
if "%workload%"=="measuring" set "flags=%flags% -XX:+UseG1GC -Xmn8m -Xms16m -XX:G1HeapRegionSize=1m -XX:ParallelGCThreads=1"
if "%workload%"=="training" set "flags=%flags% -XX:+UseG1GC -XX:MaxRAMPercentage=75"
if "%workload%"=="quick" set "cached=yes"
if "%workload%"=="prediction" set "cached=yes"
if defined cached set "flags=%flags% -XX:+UseSerialGC -Xmn48m"
:flags

rem The JVM starts faster with a cache of loaded classes (JEP 514). An additional run creates it the
rem first time, and again when the jars or the JDK have changed. The folder belongs to this user.
set "cache="
if not defined cached goto :run
if not defined LOCALAPPDATA goto :run
set "folder=%LOCALAPPDATA%\resnet4j"
set /a size=0
for %%f in ("%lib%\*.jar") do set /a size+=%%~zf
set "state=%jdk%;%lib%;%size%"
set "known="
if exist "%folder%\classes.txt" for /f "usebackq delims=" %%s in ("%folder%\classes.txt") do set "known=%%s"
set "cache=%folder%\classes.aot"
if "%known%"=="%state%" if exist "%cache%" goto :run
if not exist "%folder%" mkdir "%folder%" 2>nul
del /q "%folder%\classes.txt" 2>nul
"%jdk%\bin\java.exe" %flags% "-XX:AOTCacheOutput=%cache%" -cp "%lib%\*" io.github.resnet4j.cli.Main classify "%here%samples\digit-6.png" >nul 2>nul
if errorlevel 1 (
  set "cache="
  goto :run
)
>"%folder%\classes.txt" echo %state%

:run
set "aot="
rem RESNET4J_CLASSPATH adds jars that are not part of resnet4j, such as ONNX Runtime's.
set "more="
if defined RESNET4J_CLASSPATH set "more=;%RESNET4J_CLASSPATH%"
if defined cache if exist "%cache%" set "aot=-XX:+IgnoreUnrecognizedVMOptions "-XX:AOTCache=%cache%""
"%jdk%\bin\java.exe" %flags% %aot% %RESNET4J_JAVA_OPTS% -cp "%lib%\*%more%" io.github.resnet4j.cli.Main %*
exit /b %errorlevel%

rem Takes a folder as jdk if it contains a new enough Java and none was found before.
:try
if defined jdk exit /b 0
if not exist "%~1\bin\java.exe" exit /b 0
if not exist "%~1\release" exit /b 0
set "version=0"
rem The value is in quotes.
for /f "usebackq tokens=1,2 delims==" %%a in ("%~1\release") do if "%%a"=="JAVA_VERSION" set version=%%b
for /f "delims=.-+" %%m in ("%version:"=%") do set "version=%%m"
if %version% geq %required% set "jdk=%~f1"
exit /b 0
