"""Functions and classes by which pickles run code, read or write files, or reach a host."""

_NAMES = """
os.system os.popen os.execv os.execve os.spawnl os.posix_spawn os.remove os.rename os.putenv
os.kill os.fork os.open os.symlink os.chmod os.startfile posix.system posix.popen posix.mkdir
posix.unlink nt.system subprocess.Popen subprocess.call subprocess.run subprocess.check_output
subprocess.getoutput commands.getoutput pty.spawn distutils.spawn.spawn
distutils.spawn.find_executable distutils.file_util.write_file setuptools._distutils.spawn.spawn
numpy.f2py.crackfortran.getlincoef numpy.f2py.crackfortran.param_eval
numpy.testing._private.utils.runstring numpy.distutils.exec_command.exec_command numpy.load
numpy.fromfile numpy.memmap numpy.save numpy.core.multiarray.set_string_function
numpy.lib.npyio.load numpy.lib.format.read_array builtins.eval builtins.exec builtins.compile
builtins.getattr builtins.setattr builtins.__import__ builtins.open builtins.map builtins.filter
builtins.type builtins.vars builtins.globals builtins.input builtins.breakpoint builtins.apply
builtins.memoryview builtins.super builtins.print functools.partial functools.reduce
functools.partialmethod functools.lru_cache operator.attrgetter operator.itemgetter
operator.methodcaller operator.call _operator.attrgetter itertools.starmap types.FunctionType
types.CodeType types.MethodType types.ModuleType types.coroutine types.new_class
importlib.import_module importlib.reload importlib.util.spec_from_file_location runpy.run_path
runpy.run_module runpy._run_code code.interact code.InteractiveInterpreter codeop.compile_command
marshal.loads marshal.load pickle.loads pickle.load pickle.Unpickler _pickle.loads dill.loads
cloudpickle.loads joblib.load joblib.numpy_pickle.load shelve.open copyreg._reconstructor
copyreg.__newobj__ copyreg.add_extension copy.copy bdb.Bdb pdb.run pdb.set_trace timeit.timeit
timeit.Timer cProfile.run profile.run trace.Trace doctest.debug_script pydoc.pipepager
pydoc.locate webbrowser.open antigravity.fly idlelib.pyshell.ModifiedInterpreter
idlelib.autocomplete.AutoComplete ensurepip._run_pip pip.main pip._internal.main venv.create
lib2to3.pgen2.pgen.generate_grammar lib2to3.pgen2.grammar.Grammar.loads
test.support.script_helper.assert_python_ok asyncio.unix_events._UnixSubprocessTransport._start
asyncio.subprocess.create_subprocess_exec multiprocessing.util.spawnv_passfds
multiprocessing.Process multiprocessing.reduction.rebuild_arg
concurrent.futures.ProcessPoolExecutor ctypes.CDLL ctypes.cdll.LoadLibrary _ctypes.dlopen cffi.FFI
socket.socket socket.create_connection socket.getaddrinfo ssl.get_server_certificate
urllib.request.urlopen urllib.request.urlretrieve http.client.HTTPConnection requests.get
requests.api.post httpx.get ftplib.FTP smtplib.SMTP telnetlib.Telnet xmlrpc.client.ServerProxy
aiohttp.client.ClientSession shutil.rmtree shutil.move shutil.copyfile shutil.make_archive
shutil.unpack_archive tempfile.mktemp tempfile.NamedTemporaryFile io.open io.FileIO io.open_code
_io.FileIO codecs.open fileinput.input linecache.getline pathlib.Path.write_text
pathlib.Path.unlink zipfile.ZipFile tarfile.open tarfile.TarFile.extractall sqlite3.connect
logging.FileHandler logging.config.fileConfig logging.config.dictConfig configparser.ConfigParser
string.Formatter.vformat _codecs.lookup _codecs.register weakref.finalize atexit.register
signal.signal sys.settrace sys.addaudithook sys.exit sys.modules.get threading.Thread
_thread.start_new_thread gc.get_objects inspect.getattr_static collections.namedtuple
collections.UserDict collections.ChainMap dataclasses.make_dataclass enum.Enum ast.literal_eval
random._inst.sample yaml.load yaml.unsafe_load yaml.Loader ruamel.yaml.YAML jinja2.Template
mako.template.Template torch.load torch.save torch.hub.load torch.hub.load_state_dict_from_url
torch.jit.load torch.jit._script.unpackage_script_module torch.package.PackageImporter
torch.utils.cpp_extension.load torch.utils.cpp_extension.load_inline torch.ops.load_library
torch.classes.load_library torch.serialization.add_safe_globals torch.serialization._load
torch._dynamo.guards.GuardBuilder.get torch.utils._config_module.load_config
torch.utils._config_module.ConfigModule.load_config torch.utils.collect_env.run
torch.utils.bottleneck.__main__.run_cprofile
torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression
torch.fx.graph_module._forward_from_src torch.fx.graph_module._deserialize_graph_module
torch.fx.graph_module.reduce_graph_module torch.distributed.rpc.internal._run_function
torch.multiprocessing.spawn torch._inductor.codecache.compile_file
torch._inductor.compile_fx.compile_fx torch.utils.data.DataLoader torch.nn.Module
torch.nn.modules.linear.Linear torch.compile torch_utils.persistence._reconstruct_persistent_obj
dnnlib.tflib.network.Network dnnlib.util.open_url legacy.load_network_pkl
transformers.dynamic_module_utils.get_class_from_dynamic_module
transformers.AutoModel.from_pretrained diffusers.DiffusionPipeline.from_pretrained
huggingface_hub.hf_hub_download keras.saving.load_model keras.layers.Lambda
tensorflow.io.read_file tensorflow.python.ops.gen_io_ops.read_file sklearn.utils._joblib.load
pandas.read_pickle pandas.eval pandas.io.pickle.read_pickle omegaconf.OmegaConf.load
omegaconf.resolvers.oc.env hydra._internal.instantiate._instantiate2.instantiate
hydra.utils.instantiate pytorch_lightning.utilities.cloud_io.load
lightning.pytorch.core.saving._load_state sympy.core.sympify.sympify
sympy.parsing.sympy_parser.parse_expr cgitb.text smtpd.SMTPServer nturl2path.url2pathname
posixpath.expandvars __main__.run __builtin__.eval __builtin__.file __builtin__.apply
exceptions.Exception copy_reg._reconstructor
"""
GADGETS = _NAMES.split()
